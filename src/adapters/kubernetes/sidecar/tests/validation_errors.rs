//! The errors of an invalid spec.

use super::*;
use crate::domain::operator::injection::consent::LabelOperator;

/// Returns the errors of the smallest valid spec with `changes`, one per line.
fn errors(changes: &Value) -> Vec<String> {
    let errors = build(&object(changes), &defaults()).unwrap_err();
    errors.0.iter().map(|error| format!("{} {}", error.field, error.message)).collect()
}

#[track_caller]
pub(super) fn assert_errors(changes: &Value, expected: &[&str]) {
    assert_eq!(errors(changes), expected, "{changes}");
}

#[test]
fn the_error_for_a_limit_out_of_bounds_has_the_bounds_and_the_value() {
    assert_errors(
        &json!({ "buffer": { "maxSpans": 0, "maxBytes": "32", "maxAge": "10ms" } }),
        &[
            "spec.buffer.maxSpans must be from 1 to 1000000000; it is 0",
            r#"spec.buffer.maxBytes must be a quantity from 64Ki to 64Gi, such as 32Mi; it is "32""#,
            r#"spec.buffer.maxAge must be a duration from 100ms to 720h, such as 1m30s; it is "10ms""#,
        ],
    );
}

#[test]
fn an_invalid_quantity_or_duration_is_explained() {
    assert_errors(
        &json!({ "buffer": { "maxBytes": "32MB", "maxAge": "1d" }, "drainTimeout": "30" }),
        &[
            "spec.buffer.maxBytes must be a quantity from 64Ki to 64Gi, such as 32Mi; \
             it is \"32MB\", and there is no suffix \"MB\" (Ki, Mi, Gi, k, M or G)",
            "spec.buffer.maxAge must be a duration from 100ms to 720h, such as 1m30s; \
             it is \"1d\", and a duration has one to four whole numbers of at most five digits, \
             each followed by h, m, s or ms",
            "spec.drainTimeout must be a duration from 0s to 1h, such as 1m30s; \
             it is \"30\", and a duration has one to four whole numbers of at most five digits, \
             each followed by h, m, s or ms",
        ],
    );
}

#[test]
fn a_duration_too_long_for_any_clock_is_an_error_and_no_panic() {
    for text in ["99999999999999999999999999h", "-1s", "1s-5s", "inf", "NaNs", "1.5s", ""] {
        let found = errors(&json!({ "destination": { "timeout": text } }));

        assert!(found[0].starts_with("spec.destination.timeout must be a duration"), "{found:?}");
    }
}

#[test]
fn a_long_value_is_not_repeated_in_full() {
    let found = errors(&json!({ "drainTimeout": "9".repeat(1_000) }));

    assert!(found[0].len() < 300, "{found:?}");
}

#[test]
fn an_invalid_endpoint_is_explained_and_never_quoted() {
    let of = |endpoint: &str| errors(&json!({ "destination": { "endpoint": endpoint } }));

    assert_eq!(of(""), ["spec.destination.endpoint must be set to a URL"]);
    assert_eq!(
        of("collector:4317"),
        ["spec.destination.endpoint must be an http:// or https:// URL, such as \
          http://collector.observability:4317"]
    );
    assert_eq!(
        of("http://me:hunter2@collector"),
        ["spec.destination.endpoint must be a URL without credentials, which belong in \
           spec.destination.headers"]
    );
    assert_eq!(
        of("http://collector:0"),
        [
            "spec.destination.endpoint must be a URL of scheme, host, port and path: the port is not a \
          number from 1 to 65535"
        ]
    );
    assert_eq!(
        of("http://collector/v1/traces"),
        ["spec.destination.endpoint must have no path with protocol GRPC; remove it, or set \
          protocol: HTTPProtobuf"]
    );
}

#[test]
fn the_sidecar_never_sends_to_itself() {
    let why = "spec.destination.endpoint must not be the sidecar itself, which listens there: name \
               a collector's address";
    for endpoint in ["http://localhost:4317", "http://127.0.0.1:4318", "http://[::1]"] {
        assert_errors(&json!({ "destination": { "endpoint": endpoint } }), &[why]);
    }
    // An agent in the same pod, on another port.
    built(&json!({ "destination": { "endpoint": "http://localhost:14317" } }));
}

#[test]
fn certificates_need_an_https_endpoint_and_have_one_source() {
    let reference = json!({ "name": "ca", "key": "ca.crt" });
    assert_errors(
        &json!({ "destination": { "tls": {
            "ca": { "configMapKeyRef": reference, "secretKeyRef": reference },
            "clientCertificateSecretRef": { "name": "no/name" },
            "serverName": "two words",
        } } }),
        &[
            "spec.destination.tls must be unset unless destination.endpoint begins with https://",
            "spec.destination.tls.ca must have either configMapKeyRef or secretKeyRef",
            "spec.destination.tls.clientCertificateSecretRef.name must be a name of lower case \
             letters, digits, '-' and '.'; it is \"no/name\"",
            "spec.destination.tls.serverName must be a DNS name or an IP address, without a port; it \
             is \"two words\"",
        ],
    );
    assert_errors(
        &json!({ "destination": {
            "endpoint": "https://x", "tls": { "trustSystemRoots": false },
        } }),
        &[
            "spec.destination.tls.trustSystemRoots must not be false without ca, or no certificate is \
           trusted",
        ],
    );
}

#[test]
fn a_server_name_has_the_syntax_of_the_schema() {
    let with_name = |name: &str| {
        let tls = json!({ "serverName": name });
        json!({ "destination": { "endpoint": "https://x", "tls": tls } })
    };

    for name in ["collector.internal", "10.0.0.1", "fd00::1"] {
        built(&with_name(name));
    }
    for name in ["", "col_lector.internal", "collector.internal.", "collector:4317", "-a"] {
        let why = "spec.destination.tls.serverName must be a DNS name or an IP address, without a \
                   port; it is";
        assert_errors(&with_name(name), &[&format!("{why} {name:?}")]);
    }
}

#[test]
fn batch_size_and_concurrency_are_bounded() {
    assert_errors(
        &json!({ "destination": {
            "timeout": "1ms", "concurrency": 65,
            "batch": { "maxSpans": 0, "maxBytes": "65Mi", "linger": "2m" },
        } }),
        &[
            "spec.destination.timeout must be a duration from 100ms to 5m, such as 1m30s; it is \
             \"1ms\"",
            "spec.destination.batch.maxSpans must be from 1 to 1000000; it is 0",
            "spec.destination.batch.maxBytes must be a quantity from 1Ki to 64Mi, such as 32Mi; it \
             is \"65Mi\"",
            "spec.destination.batch.linger must be a duration from 0s to 1m, such as 1m30s; it is \
             \"2m\"",
            "spec.destination.concurrency must be from 1 to 64; it is 65",
        ],
    );
}

#[test]
fn ports_are_valid_and_distinct() {
    assert_errors(
        &json!({ "receiver": { "grpcPort": 0, "httpPort": 65_536 } }),
        &[
            "spec.receiver.grpcPort must be from 1 to 65535; it is 0",
            "spec.receiver.httpPort must be from 1 to 65535; it is 65536",
        ],
    );
    assert_errors(
        &json!({ "receiver": { "adminPort": 4317 } }),
        &["spec.receiver.adminPort must not be 4317, which receiver.grpcPort is already"],
    );
}

#[test]
fn a_request_fits_into_the_buffer() {
    assert_errors(
        &json!({ "buffer": { "maxBytes": "1Mi" }, "receiver": { "maxRequestBytes": "2Mi" } }),
        &["spec.receiver.maxRequestBytes must be at most buffer.maxBytes, which is 1Mi; it is 2Mi"],
    );
}

#[test]
fn the_head_of_a_request_is_bounded() {
    for size in ["4095", "65Ki"] {
        let why =
            "spec.receiver.maxHeadBytes must be a quantity from 4Ki to 64Ki, such as 16Ki; it is";
        assert_errors(
            &json!({ "receiver": { "maxHeadBytes": size } }),
            &[&format!("{why} {size:?}")],
        );
    }
}

#[test]
fn an_image_is_a_valid_reference() {
    for image in ["", "https://registry.example/tb", "two words", "-x", "a//b"] {
        assert_errors(
            &json!({ "sidecar": { "image": image } }),
            &[&format!(
                "spec.sidecar.image must be an image such as registry.example/tracebuffer:1.0, \
                 without a scheme; it is {image:?}"
            )],
        );
    }
}

#[test]
fn resources_that_the_api_server_would_reject_are_errors() {
    assert_errors(
        &json!({ "sidecar": { "resources": {
            "requests": { "cpu": "half", "memory": "128Mi", "ephemeral-storage": "-1" },
            "limits": { "cpu": "1", "memory": "64Mi" },
        } } }),
        &[
            "spec.sidecar.resources.requests.cpu must be a quantity, such as 100m or 64Mi; it is \
             \"half\", and it does not begin with a number",
            "spec.sidecar.resources.requests.memory must be at most \
             sidecar.resources.limits.memory",
            "spec.sidecar.resources.requests.ephemeral-storage must be a quantity, such as 100m or \
             64Mi; it is \"-1\", and it is negative",
        ],
    );
}

#[test]
fn a_memory_limit_leaves_room_for_the_buffer() {
    assert_errors(
        &json!({ "sidecar": { "resources": { "limits": { "memory": "32Mi" } } } }),
        &["spec.sidecar.resources.limits.memory must be at least 40Mi, or the sidecar is killed \
           before its buffer of 32Mi is full; it is 32Mi: raise it, or lower buffer.maxBytes"],
    );
}

#[test]
fn neither_user_nor_group_is_root() {
    assert_errors(
        &json!({ "sidecar": { "securityContext": { "runAsUser": 0, "runAsGroup": 2_147_483_648_i64 } } }),
        &[
            "spec.sidecar.securityContext.runAsUser must be from 1 to 2147483647; it is 0",
            "spec.sidecar.securityContext.runAsGroup must be from 1 to 2147483647; it is 2147483648",
        ],
    );
}

#[test]
fn a_selector_is_not_empty_and_needs_from_selector() {
    let labels = json!({ "matchLabels": { "team": "a" } });
    for (allowed, why) in [
        (json!({ "from": "Selector" }), "must be set with from: Selector"),
        (json!({ "from": "All", "selector": labels }), "must be unset, or from be Selector"),
        (json!({ "selector": labels }), "must be unset, or from be Selector"),
        (
            json!({ "from": "Selector", "selector": {} }),
            "must have at least one label or expression; from: All allows every namespace",
        ),
        (
            json!({ "from": "Selector", "selector": { "matchLabels": {}, "matchExpressions": [] } }),
            "must have at least one label or expression; from: All allows every namespace",
        ),
    ] {
        let expected = format!("spec.allowedNamespaces.selector {why}");
        assert_errors(&json!({ "allowedNamespaces": allowed }), &[&expected]);
    }
}

#[test]
fn a_selector_is_valid_in_kubernetes() {
    let selector = json!({
        "matchLabels": { "-team": "a", "tier": "b c" },
        "matchExpressions": [
            { "key": "a", "operator": "Equals", "values": ["b"] },
            { "key": "a", "operator": "In" },
            { "key": "a", "operator": "Exists", "values": ["b"] },
        ],
    });
    assert_errors(
        &json!({ "allowedNamespaces": { "from": "Selector", "selector": selector } }),
        &[
            "spec.allowedNamespaces.selector.matchLabels must have keys of labels, such as team or \
             example.com/team; \"-team\" is none",
            "spec.allowedNamespaces.selector.matchLabels must have values of labels: at most 63 \
             letters, digits, '-', '_' and '.'; \"b c\" is none",
            "spec.allowedNamespaces.selector.matchExpressions[0].operator must be In, NotIn, Exists \
             or DoesNotExist; it is \"Equals\"",
            "spec.allowedNamespaces.selector.matchExpressions[1].values must not be empty with \
             operator In",
            "spec.allowedNamespaces.selector.matchExpressions[2].values must be empty with operator \
             Exists",
        ],
    );
}

#[test]
fn a_selector_keeps_its_meaning() {
    let selector = json!({
        "matchLabels": { "team": "a" },
        "matchExpressions": [
            { "key": "stage", "operator": "NotIn", "values": ["test", "dev"] },
            { "key": "example.com/traces", "operator": "Exists" },
        ],
    });
    let sidecar =
        built(&json!({ "allowedNamespaces": { "from": "Selector", "selector": selector } }));

    let AllowedNamespaces::Selector(selector) = sidecar.allowed_namespaces else { panic!() };
    let operators: Vec<_> = selector
        .requirements
        .into_iter()
        .map(|requirement| (requirement.key, requirement.operator))
        .collect();
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let expected = [
        ("team".to_owned(), LabelOperator::In(owned(&["a"]))),
        ("stage".to_owned(), LabelOperator::NotIn(owned(&["test", "dev"]))),
        ("example.com/traces".to_owned(), LabelOperator::Exists),
    ];
    assert_eq!(operators, expected);
}

#[test]
fn a_reserved_name_is_rejected() {
    for name in ["true", "false", "enabled", "disabled"] {
        let mut object = object(&json!({}));
        object.metadata.name = Some(name.into());
        let errors = build(&object, &defaults()).unwrap_err().in_one_line();
        assert!(errors.starts_with("metadata.name must not be"), "{errors}");
    }
}

#[test]
fn the_rollout_settings_are_bounded() {
    assert_errors(
        &json!({ "rollout": { "maxConcurrent": 0, "interval": "25h" } }),
        &[
            "spec.rollout.maxConcurrent must be from 1 to 100; it is 0",
            "spec.rollout.interval must be a duration from 0s to 24h, such as 1m30s; it is \"25h\"",
        ],
    );
}

#[test]
fn a_view_with_errors_lists_them_in_one_line() {
    let object = object(&json!({ "drainTimeout": "x", "rollout": { "maxConcurrent": 0 } }));

    let view = trace_buffer_view(&object, &defaults());

    assert_eq!(view.key, ObjectKey { namespace: "shop".into(), name: "default".into() });
    let why = view.sidecar.unwrap_err();
    assert!(why.contains("it is 0; spec.drainTimeout must"), "{why}");
}

#[test]
fn a_proxy_must_be_an_http_url_without_credentials_and_is_not_shown() {
    for url in [
        "http://user:hunter2@proxy",
        "socks5://hunter2",
        "hunter2:3128",
        "http://proxy:3128/?hunter2",
        "",
    ] {
        let found = errors(&json!({ "destination": { "proxy": { "url": url } } }));

        assert_eq!(found.len(), 1, "{url}: {found:?}");
        assert!(found[0].starts_with("spec.destination.proxy.url must be an http://"), "{found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}
