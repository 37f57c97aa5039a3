use super::*;
use crate::adapters::kubernetes::pod::testing::{ENDPOINT, pod, sidecar};

/// Returns the action for a container with this environment.
fn action_for(env: &Value) -> EndpointAction {
    endpoint_action(&json!({"name": "web", "env": env}), &sidecar())
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
        json!([{"name": TRACES_EXPORTER, "value": ""}]),
        json!([{"name": TRACES_EXPORTER, "value": "$(EXPORTER)"}]),
        json!([{"name": TRACES_EXPORTER, "valueFrom": {}}]),
        json!([{"name": SDK_DISABLED, "value": "false"}]),
    ] {
        assert_eq!(action_for(&env), EndpointAction::Add, "{env}");
    }
}

#[test]
fn a_container_without_an_otlp_exporter_is_unchanged() {
    for env in [
        json!([{"name": TRACES_EXPORTER, "value": "none"}]),
        json!([{"name": TRACES_EXPORTER, "value": "zipkin,console"}]),
        json!([{"name": SDK_DISABLED, "value": "TRUE"}]),
    ] {
        assert_eq!(action_for(&env), EndpointAction::LeaveUnchanged, "{env}");
    }
}

#[test]
fn a_container_that_already_sends_to_the_sidecar_is_unchanged() {
    for value in [
        ENDPOINT,
        "http://localhost:4318/v1/traces",
        "http://[::1]:4317",
        "127.0.0.1:4317",
        "https://localhost:4317/",
    ] {
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
        assert_eq!(action_for(&endpoint(value)), EndpointAction::Bypass, "{value}");
    }
    let from = json!([{"name": TRACES_ENDPOINT_VAR, "valueFrom": {"fieldRef": {}}}]);
    assert_eq!(action_for(&from), EndpointAction::Bypass);
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
    let warning = add_endpoint(&mut patch, &pod, &sidecar(), SidecarPosition::Native { index: 0 });

    let variable = json!({"name": TRACES_ENDPOINT_VAR, "value": ENDPOINT});
    assert_eq!(
        serde_json::to_value(patch.build()).unwrap(),
        json!([
            {"op": "add", "path": "/spec/containers/0/env", "value": [variable]},
            {"op": "add", "path": "/spec/containers/1/env/-", "value": variable},
        ])
    );
    assert_eq!(
        warning,
        [
            "the traces of container \"own\" bypass the buffer: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT \
             is set there",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT was added to container \"generic\", where it \
             overrides a value from envFrom",
        ]
    );
}

#[test]
fn application_environment_never_causes_no_change_and_no_warning() {
    let pod = pod(&json!([{"name": "own", "env": endpoint("http://collector:4317")}]));
    let mut patch = PatchBuilder::new(&pod);
    let silent = Sidecar { application_endpoint: None, ..sidecar() };
    assert!(add_endpoint(&mut patch, &pod, &silent, SidecarPosition::Container).is_empty());
    assert!(patch.build().is_empty());
}
