use super::exporter::{SDK_DISABLED, TRACES_EXPORTER};
use super::*;
use crate::adapters::kubernetes::pod::testing::{ENDPOINT, pod, sidecar};

/// Returns the action for a container with this environment.
fn action_for(env: &Value) -> EndpointAction {
    Environment(&json!({"name": "web", "env": env})).action(&sidecar())
}

const ADD: EndpointAction = EndpointAction::Add { insecure: false };

const fn bypass(variable: &'static str) -> EndpointAction {
    EndpointAction::Bypass(Obstacle::Variable(variable))
}

fn endpoint(value: &str) -> Value {
    json!([{"name": TRACES_ENDPOINT_VAR, "value": value}])
}

#[test]
fn a_container_without_trace_settings_gets_the_endpoint() {
    for env in [
        json!(null),
        json!([]),
        json!([{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4317"}]),
        json!([{"name": TRACES_EXPORTER, "value": "console, otlp"}]),
        json!([{"name": TRACES_EXPORTER, "value": "otlp_proto_http"}]),
        json!([{"name": TRACES_EXPORTER, "value": ""}]),
        json!([{"name": TRACES_EXPORTER, "value": "$(EXPORTER)"}]),
        json!([{"name": TRACES_EXPORTER, "valueFrom": {}}]),
        json!([{"name": SDK_DISABLED, "value": "false"}]),
    ] {
        assert_eq!(action_for(&env), ADD, "{env}");
    }
}

#[test]
fn a_container_that_exports_nothing_is_unchanged() {
    for env in [
        json!([{"name": TRACES_EXPORTER, "value": "none"}]),
        json!([{"name": TRACES_EXPORTER, "value": "console, logging"}]),
        json!([{"name": SDK_DISABLED, "value": "TRUE"}]),
    ] {
        assert_eq!(action_for(&env), EndpointAction::LeaveUnchanged, "{env}");
    }
}

#[test]
fn a_container_that_already_sends_to_the_sidecar_is_unchanged() {
    for value in
        [ENDPOINT, "http://localhost:4318/v1/traces", "http://[::1]:4317", "127.0.0.1:4317"]
    {
        assert_eq!(action_for(&endpoint(value)), EndpointAction::LeaveUnchanged, "{value}");
    }
}

#[test]
fn a_container_that_sends_elsewhere_bypasses_the_buffer() {
    for value in [
        "",
        "http://collector:4317",
        "http://127.0.0.1:4319",
        "http://127.0.0.1",
        "$(HOST):4317",
        "http://localhost.evil:4317",
        "http://127.0.0.1:4317@evil:4317",
        "http://localhost:9417",
    ] {
        assert_eq!(action_for(&endpoint(value)), bypass(TRACES_ENDPOINT_VAR), "{value}");
    }
    let from = json!([{"name": TRACES_ENDPOINT_VAR, "valueFrom": {"fieldRef": {}}}]);
    assert_eq!(action_for(&from), bypass(TRACES_ENDPOINT_VAR));
    let with_tls = action_for(&endpoint("https://localhost:4317/"));
    assert_eq!(with_tls, EndpointAction::Bypass(Obstacle::Tls));
}

/// The variables of the OTLP exporter specification, for all signals and for traces, and what they mean for
/// an exporter that gets the sidecar's endpoint: with a value, and with one that is not known.
#[test]
fn each_variable_of_the_exporter_works_or_is_a_warning() {
    let insecure = EndpointAction::Add { insecure: true };
    let certificates = ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"];
    let general = |variable: &str| format!("OTEL_EXPORTER_OTLP_{variable}");
    let of_traces = |variable: &str| format!("OTEL_EXPORTER_OTLP_TRACES_{variable}");
    let harmless =
        [("PROTOCOL", "http/json"), ("COMPRESSION", "zstd"), ("TIMEOUT", "5"), ("HEADERS", "a=b")];
    let mut cases = vec![
        (general("ENDPOINT"), "https://collector:4317", ADD, ADD),
        (
            of_traces("ENDPOINT"),
            "http://collector:4317",
            bypass(TRACES_ENDPOINT_VAR),
            bypass(TRACES_ENDPOINT_VAR),
        ),
        (general("INSECURE"), "true", ADD, insecure),
        (general("INSECURE"), "false", insecure, insecure),
        (of_traces("INSECURE"), "True", ADD, bypass(TRACES_INSECURE_VAR)),
        (of_traces("INSECURE"), "false", bypass(TRACES_INSECURE_VAR), bypass(TRACES_INSECURE_VAR)),
    ];
    for (variable, value) in harmless {
        cases.push((general(variable), value, ADD, ADD));
        cases.push((of_traces(variable), value, ADD, ADD));
    }
    for variable in certificates {
        for name in [general(variable), of_traces(variable)] {
            let leaked: &'static str = name.clone().leak();
            cases.push((name, "/tls/file.pem", bypass(leaked), bypass(leaked)));
        }
    }
    for (name, value, known, unknown) in cases {
        assert_eq!(action_for(&json!([{"name": name, "value": value}])), known, "{name}={value}");
        for unset in
            [json!({"name": name, "value": "$(OTHER)"}), json!({"name": name, "valueFrom": {}})]
        {
            assert_eq!(action_for(&json!([unset])), unknown, "{unset}");
        }
        if name != TRACES_ENDPOINT_VAR {
            assert_eq!(action_for(&json!([{"name": name, "value": ""}])), ADD, "{name} is empty");
        }
    }
}

#[test]
fn an_exporter_that_is_configured_elsewhere_bypasses_the_buffer() {
    let java = "-Xmx1g -Dotel.exporter.otlp.traces.endpoint=http://collector:4317";
    for (name, value) in [
        (TRACES_EXPORTER, "zipkin,console"),
        ("OTEL_CONFIG_FILE", "/etc/otel.yaml"),
        ("OTEL_EXPERIMENTAL_CONFIG_FILE", "/etc/otel.yaml"),
        ("JAVA_TOOL_OPTIONS", java),
    ] {
        assert_eq!(action_for(&json!([{"name": name, "value": value}])), bypass(name));
    }
    assert_eq!(action_for(&json!([{"name": "JAVA_TOOL_OPTIONS", "value": "-Xmx1g"}])), ADD);
}

#[test]
fn a_proxy_without_an_exception_for_loopback_is_a_warning() {
    let environment = |variables: &[(&str, &str)]| {
        let each = variables.iter().map(|(name, value)| json!({"name": name, "value": value}));
        Value::Array(each.collect())
    };
    let proxy =
        |variable, exceptions| EndpointAction::Bypass(Obstacle::Proxy { variable, exceptions });
    for (variables, expected) in [
        (vec![("HTTP_PROXY", "http://proxy:3128")], proxy("HTTP_PROXY", "NO_PROXY")),
        (vec![("grpc_proxy", "http://proxy:3128")], proxy("grpc_proxy", "no_grpc_proxy")),
        (
            vec![("http_proxy", "http://proxy"), ("no_proxy", "localhost,.svc")],
            proxy("http_proxy", "no_proxy"),
        ),
        (
            vec![("http_proxy", "http://proxy"), ("no_proxy", "$(LIST)")],
            proxy("http_proxy", "no_proxy"),
        ),
        // Tried with Python's exporter over gRPC.
        (
            vec![("http_proxy", "http://proxy"), ("NO_PROXY", "127.0.0.1")],
            proxy("http_proxy", "no_proxy"),
        ),
        (vec![("http_proxy", "http://proxy"), ("no_proxy", "a, 127.0.0.1")], ADD),
        (vec![("https_proxy", "http://proxy"), ("no_proxy", "127.0.0.0/8,.svc")], ADD),
        (vec![("HTTPS_PROXY", "http://proxy")], ADD),
        (vec![("HTTP_PROXY", "http://proxy"), ("NO_PROXY", "*")], ADD),
        (vec![("HTTP_PROXY", "")], ADD),
    ] {
        assert_eq!(action_for(&environment(&variables)), expected, "{variables:?}");
    }
}

#[test]
fn headers_of_the_application_are_a_warning() {
    let headers = json!([{"name": "OTEL_EXPORTER_OTLP_HEADERS", "value": "api-key=x"}]);
    let pod = pod(&json!([{"name": "web", "env": headers}]));
    let mut patch = PatchBuilder::new(&pod);

    let report = add_variables(&mut patch, &pod, &sidecar(), SidecarPosition::Container);

    assert!(!report.is_bypassed);
    assert_eq!(
        report.warnings,
        ["OTEL_EXPORTER_OTLP_HEADERS of container \"web\" has no effect on traces beyond the \
             sidecar, which sends destination.headers of the TraceBuffer"]
    );
}

#[test]
fn an_empty_variable_is_not_added_again() {
    let env = json!([
        {"name": TRACES_INSECURE_VAR, "value": ""},
        {"name": "OTEL_EXPORTER_OTLP_INSECURE", "value": "false"},
    ]);

    assert_eq!(action_for(&env), bypass("OTEL_EXPORTER_OTLP_INSECURE"));
}

#[test]
fn the_last_of_several_values_counts() {
    let both = json!([
        {"name": TRACES_ENDPOINT_VAR, "value": "http://collector:4317"},
        {"name": TRACES_ENDPOINT_VAR, "value": ENDPOINT},
    ]);
    assert_eq!(action_for(&both), EndpointAction::LeaveUnchanged);
}

#[test]
fn the_endpoint_is_appended_and_bypassing_containers_are_a_warning() {
    let pod = pod(&json!([
        {"name": "plain"},
        {"name": "generic", "env": [{"name": "A", "value": "$(B)"}], "envFrom": [{}]},
        {"name": "own", "env": endpoint("http://collector:4317")},
        {"name": "istio-proxy", "env": []},
    ]));
    let mut patch = PatchBuilder::new(&pod);
    let report = add_variables(&mut patch, &pod, &sidecar(), SidecarPosition::Native { index: 0 });

    let variable = json!({"name": TRACES_ENDPOINT_VAR, "value": ENDPOINT});
    assert_eq!(
        serde_json::to_value(patch.build()).unwrap(),
        json!([
            {"op": "add", "path": "/spec/containers/0/env", "value": [variable]},
            {"op": "add", "path": "/spec/containers/1/env/-", "value": variable},
            {"op": "add", "path": "/spec/containers/1/env/-",
                "value": {"name": TRACES_INSECURE_VAR, "value": "true"}},
        ])
    );
    assert!(report.is_bypassed);
    assert_eq!(
        report.warnings,
        [
            "the traces of container \"own\" bypass the buffer: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT \
             is set there",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT was added to container \"generic\", where it \
             overrides a value from envFrom; a certificate or proxy there would keep traces from \
             the sidecar",
        ]
    );
}

#[test]
fn application_environment_never_causes_no_change_and_no_warning() {
    let pod = pod(&json!([{"name": "own", "env": endpoint("http://collector:4317")}]));
    let mut patch = PatchBuilder::new(&pod);
    let silent = Sidecar { application_endpoint: None, ..sidecar() };

    let report = add_variables(&mut patch, &pod, &silent, SidecarPosition::Container);

    assert_eq!(report, EnvironmentReport::default());
    assert!(patch.build().is_empty());
}
