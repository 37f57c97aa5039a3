//! Analysis of files.

use super::*;

/// Returns the diagnostics of a file with one object with this `spec`, as `line field message`.
fn diagnostic_lines(spec: &str, of: fn(AnalyzedTraceBuffer) -> Vec<Diagnostic>) -> Vec<String> {
    let head = "apiVersion: tracebuffer.dev/v1alpha1\nkind: TraceBuffer\nmetadata: {name: x}\n";
    let mut analysis = analyze(&format!("{head}spec: {spec}")).unwrap();
    let object = analysis.trace_buffers.pop().unwrap();
    let line = |found: Diagnostic| format!("{} {} {}", found.line, found.field, found.message);
    of(object).into_iter().map(line).collect()
}

fn errors(spec: &str) -> Vec<String> {
    diagnostic_lines(spec, |object| object.errors)
}

fn warnings(spec: &str) -> Vec<String> {
    assert_eq!(errors(spec), [""; 0], "{spec}");
    diagnostic_lines(spec, |object| object.warnings)
}

const DESTINATION: &str = "destination: {endpoint: \"http://collector.observability:4317\"";

#[test]
fn a_valid_spec_has_no_errors() {
    assert_eq!(warnings(&format!("{{{DESTINATION}}}}}")), [""; 0]);
}

#[test]
fn a_field_of_the_wrong_type_is_an_error_with_the_expected_type() {
    assert_eq!(
        errors(
            "{buffer: [], destination: {endpoint: 1, headers: {}}, receiver: {grpcPort: \"1\"}, allowedNamespaces: {from: 1}}"
        ),
        [
            "4 spec.buffer must be an object; it is an array",
            "4 spec.destination.endpoint must be a string, quoted if it looks like another type; it is 1",
            "4 spec.destination.headers must be an array; it is an object",
            "4 spec.receiver.grpcPort must be a whole number; it is a string",
            "4 spec.allowedNamespaces.from must be one of Same, All, Selector; it is 1",
        ]
    );
}

#[test]
fn an_unknown_enum_value_is_an_error_with_the_allowed_ones() {
    assert_eq!(
        errors(&format!("{{{DESTINATION}, protocol: grpc}}}}")),
        ["4 spec.destination.protocol must be one of GRPC, HTTPProtobuf; it is \"grpc\""]
    );
}

#[test]
fn a_selectors_labels_have_any_key_and_string_values() {
    let of = |labels: &str| {
        let selector = format!("{{matchLabels: {labels}}}");
        let allowed = format!("allowedNamespaces: {{from: Selector, selector: {selector}}}");
        errors(&format!("{{{DESTINATION}}}, {allowed}}}"))
    };

    assert_eq!(of("{team: a, example.com/tier: \"1\"}"), [""; 0]);
    assert_eq!(
        of("{tier: 1}"),
        [
            "4 spec.allowedNamespaces.selector.matchLabels.tier must be a string, quoted if it looks \
          like another type; it is 1"
        ]
    );
}

#[test]
fn a_reserved_name_is_an_error() {
    let head =
        "apiVersion: tracebuffer.dev/v1alpha1\nkind: TraceBuffer\nmetadata: {name: enabled}\n";
    let analysis = analyze(&format!("{head}spec: {{{DESTINATION}}}}}")).unwrap();

    let error = &analysis.trace_buffers[0].errors[0];
    assert_eq!((error.line, error.field.as_str()), (3, "metadata.name"));
}

#[test]
fn a_required_field_is_missing_even_if_it_is_null() {
    assert_eq!(errors("{}"), ["4 spec.destination must be set"]);
    assert_eq!(
        errors("{destination: {endpoint: null}}"),
        ["4 spec.destination.endpoint must be set"]
    );
    let analysis = analyze("apiVersion: tracebuffer.dev/v1\nkind: TraceBuffer\n").unwrap();
    let errors: Vec<_> =
        analysis.trace_buffers[0].errors.iter().map(|m| (&*m.field, &*m.message)).collect();
    assert_eq!(
        errors,
        [
            ("apiVersion", "must be tracebuffer.dev/v1alpha1; it is \"tracebuffer.dev/v1\""),
            ("metadata.name", "must be set"),
            ("spec", "must be set"),
        ]
    );
}

#[test]
fn an_unknown_field_is_an_error_with_the_nearest_or_all_fields() {
    assert_eq!(
        errors(&format!("{{{DESTINATION}, retries: 3, Endpoint: x}}, buffer: {{maxspan: 1}}}}")),
        [
            "4 spec.destination.retries is not a known field; the fields are batch, compression, concurrency, \
             connectionMaxAge, endpoint, headers, protocol, proxy, timeout, tls",
            "4 spec.destination.Endpoint is not a known field; did you mean endpoint?",
            "4 spec.buffer.maxspan is not a known field; did you mean maxSpans?",
        ]
    );
}

#[test]
fn a_field_beside_spec_is_an_error() {
    let text = format!(
        "kind: TraceBuffer\napiVersion: {API_VERSION}\nmetadata: {{name: x}}\nbuffer: {{}}\nspec: {{{DESTINATION}}}}}"
    );
    let analysis = analyze(&text).unwrap();
    assert_eq!(
        analysis.trace_buffers[0].errors,
        [Diagnostic {
            line: 4,
            field: "buffer".into(),
            message: "is not a field of TraceBuffer; does it belong under spec?".into()
        }]
    );
}

#[test]
fn a_semantic_error_has_the_line_of_its_field() {
    assert_eq!(
        errors(
            "\n  destination:\n    endpoint: https://x\n    headers:\n      - name: a\n        value: b\n      - name: te\n        value: b\n"
        ),
        [
            "10 spec.destination.headers[1].name must be a header's name of letters, digits, '-', '_' \
          and '.'; \"te\" names `te`, which tracebuffer sets itself"
        ]
    );
}

#[test]
fn other_kinds_are_listed_and_ignored() {
    let analysis =
        analyze("kind: Pod\nmetadata: {name: web, namespace: shop}\n---\nx: 1\n---\n- 1\n")
            .unwrap();

    assert_eq!(analysis.trace_buffers, []);
    assert_eq!(
        analysis.ignored,
        ["Pod shop/web", "object without a kind", "object without a kind"]
    );
}

#[test]
fn doubtful_settings_are_warnings() {
    let with = |rest: &str| warnings(&format!("{{{DESTINATION}}}, {rest}}}"));

    assert_eq!(
        with("drainTimeout: 0s"),
        ["4 spec.drainTimeout is 0, so that what is buffered when a pod ends is lost"]
    );
    assert_eq!(
        with("drainTimeout: 30s"),
        ["4 spec.drainTimeout is 30s, so that pods need a terminationGracePeriodSeconds above it \
          (Kubernetes' default is 30)"]
    );
    assert_eq!(
        with("allowedNamespaces: {from: All}"),
        ["4 spec.allowedNamespaces.from is All, so that pods of every namespace may use it; use \
          Selector if you can"]
    );
    assert_eq!(
        with("buffer: {maxBytes: 64Ki, maxSpans: 3}"),
        [
            "4 spec.buffer.maxBytes is 64Ki, so that a request to the destination holds at most \
             16Ki; raise it to 1Mi or more",
            "4 spec.buffer.maxSpans is 3, so that a request to the destination holds at most 1; \
             raise it to 512 or more",
        ]
    );
    assert_eq!(
        with("receiver: {grpcPort: 80}"),
        [
            "4 spec.receiver.grpcPort is 80; ports below 1024 need privileges that the sidecar has not \
          on every node"
        ]
    );
    assert_eq!(
        with("sidecar: {resources: {limits: {memory: 48Mi}}}"),
        [
            "4 spec.sidecar.resources.limits.memory is 48Mi; a full buffer with many connections may \
          need 64Mi, and be killed"
        ]
    );
    assert_eq!(
        warnings(&format!("{{{DESTINATION}, concurrency: 2}}}}")),
        ["4 spec.destination.concurrency is above 1, so that spans may arrive in another order"]
    );
}

#[test]
fn a_mutable_image_tag_is_a_warning_and_a_fixed_one_is_not() {
    let of = |image: &str| {
        warnings(&format!("{{{DESTINATION}}}, sidecar: {{image: \"{image}\"}}}}")).len()
    };

    for image in ["tracebuffer", "r.example:5000/tracebuffer", "tracebuffer:latest"] {
        assert_eq!(of(image), 1, "{image}");
    }
    for image in ["tracebuffer:1.0", "r.example:5000/tb:1", "tb@sha256:0123", "tb:latest@sha256:01"]
    {
        assert_eq!(of(image), 0, "{image}");
    }
}

#[test]
fn plain_http_to_a_host_outside_the_cluster_is_a_warning() {
    let of = |endpoint: &str| warnings(&format!("{{destination: {{endpoint: \"{endpoint}\"}}}}"));

    for inside in [
        "http://c",
        "http://c.ns",
        "http://c.ns.svc",
        "http://c.ns.svc.cluster.local",
        "http://10.0.0.7",
        "http://localhost:1",
        "https://otlp.vendor.example",
    ] {
        assert_eq!(of(inside), [""; 0], "{inside}");
    }
    assert_eq!(
        of("http://otlp.vendor.example"),
        ["4 spec.destination.endpoint is not encrypted, and does not look like a Service of the \
          cluster; use https:// where others may listen"]
    );
}

#[test]
fn a_credential_in_plain_text_is_a_warning_in_the_spec_and_in_transit() {
    assert_eq!(
        warnings(&format!("{{{DESTINATION}, headers: [{{name: X-Api-Key, value: abc}}]}}}}")),
        [
            "4 spec.destination.endpoint is not encrypted, and so are the headers that look like \
             credentials; use https://",
            "4 spec.destination.headers[0].value looks like a credential, which anyone who can read \
             the pod can read; use valueFrom.secretKeyRef",
        ]
    );
}

#[test]
fn an_endpoint_that_looks_like_another_protocols_is_a_warning() {
    let of = |destination: &str| warnings(&format!("{{destination: {{{destination}}}}}"));

    assert_eq!(
        of("endpoint: \"http://jaeger.ns:14268\""),
        ["4 spec.destination.endpoint has port 14268, which is usually that of Jaeger's own HTTP \
          protocol; OTLP/gRPC is usually on 4317"]
    );
    let http = |url: &str| of(&format!("endpoint: \"{url}\", protocol: HTTPProtobuf"));
    assert_eq!(http("http://collector.ns:4318"), [""; 0]);
    assert_eq!(http("http://collector.ns:4317").len(), 1);
    assert_eq!(http("https://otlp.vendor.example/v1/metrics").len(), 1);
}
