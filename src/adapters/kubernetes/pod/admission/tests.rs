use super::*;
use crate::adapters::kubernetes::pod::pod_facts;
use crate::adapters::kubernetes::pod::testing::{
    completion_decision, inject_decision, injected, key, patched, pod, sidecar,
};
use crate::domain::operator::injection::facts::SidecarPresence;

const STATUS_TEXT: &str = r#"{"injected":"shop/default","uid":"u-1","hash":"h1","maxBytes":65536}"#;

fn skip(reason: SkipReason) -> Decision<Sidecar> {
    Decision::Skip(Skip { reason, message: "because; do this".into() })
}

#[test]
fn a_native_sidecar_comes_first_with_its_volumes_and_pull_secrets() {
    let mut pod = pod(&json!([{"name": "web"}]));
    pod["spec"]["initContainers"] = json!([{"name": "migrate"}]);
    let admission = injected(&pod, sidecar());
    let patched = patched(&pod, &admission);

    assert_eq!(patched["spec"]["initContainers"][0]["name"], "tracebuffer");
    assert_eq!(patched["spec"]["initContainers"][0]["restartPolicy"], "Always");
    assert_eq!(patched["spec"]["initContainers"][1]["name"], "migrate");
    assert_eq!(patched["spec"]["volumes"][0]["name"], "tracebuffer-pod-info");
    assert_eq!(patched["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(
        patched["metadata"],
        json!({
            "name": "web",
            "labels": {"tracebuffer.dev/injected": "true"},
            "annotations": {
                "tracebuffer.dev/status": STATUS_TEXT,
                "tracebuffer.dev/limits": "max_spans=1000\nmax_bytes=65536\nmax_age=none\n",
            },
        })
    );
    assert_eq!(
        (admission.warnings, admission.outcome),
        (vec![], InjectionOutcome::Injected(key()))
    );
}

#[test]
fn the_endpoint_is_added_to_the_served_containers_only() {
    let mut pod = pod(&json!([{"name": "web", "env": [{"name": "A", "value": "1"}]}]));
    pod["spec"]["initContainers"] = json!([
        {"name": "early", "env": []}, {"name": "istio-init"}, {"name": "istio-proxy"}, {"name": "migrate"},
    ]);
    let patched = patched(&pod, &injected(&pod, sidecar()));

    let variables: Vec<_> = pod_json::containers(&patched)
        .map(|(_, _, container)| {
            let env = pod_json::list(container, "/env").iter();
            (pod_json::name(container), env.map(pod_json::name).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(
        variables,
        [
            ("web", vec!["A", names::TRACES_ENDPOINT_VAR]),
            ("early", vec![]),
            ("istio-init", vec![]),
            ("istio-proxy", vec![]),
            ("tracebuffer", vec!["TRACEBUFFER_TERMINATION_GRACE_PERIOD"]),
            ("migrate", vec![names::TRACES_ENDPOINT_VAR]),
        ]
    );
}

#[test]
fn a_plain_container_comes_last() {
    let pod = pod(&json!([{"name": "web"}]));
    let plain = Sidecar { mode: SidecarMode::Container, ..sidecar() };
    let decision = inject_decision(plain);
    let patched = patched(&pod, &apply_decision(&pod, &decision));

    assert_eq!(patched["spec"]["containers"][1]["name"], "tracebuffer");
    assert_eq!(patched["spec"]["containers"][1].get("restartPolicy"), None);
    assert_eq!(patched["spec"].get("initContainers"), None);
}

#[test]
fn an_existing_pull_secret_is_not_added_again() {
    let mut pod = pod(&json!([]));
    pod["spec"]["imagePullSecrets"] = json!([{"name": "own"}, {"name": "pull"}]);
    let patched = patched(&pod, &injected(&pod, sidecar()));
    assert_eq!(patched["spec"]["imagePullSecrets"], pod["spec"]["imagePullSecrets"]);
}

#[test]
fn a_pod_without_metadata_gets_it() {
    let pod = json!({"spec": {"containers": []}});
    let patched = patched(&pod, &injected(&pod, sidecar()));
    assert_eq!(patched["metadata"]["labels"][names::INJECTED_LABEL], "true");
}

#[test]
fn only_the_annotations_and_label_of_tracebuffer_are_replaced() {
    let mut pod = pod(&json!([{"name": "web"}]));
    let forged = json!({names::INJECTION_STATUS_ANNOTATION: "forged", names::LIMITS_ANNOTATION: "forged", "mine": "kept"});
    pod["metadata"]["annotations"] = forged;
    pod["metadata"]["labels"] = json!({names::INJECTED_LABEL: "forged", "app": "web"});
    let patched = patched(&pod, &injected(&pod, sidecar()));

    assert_eq!(
        patched["metadata"]["annotations"],
        json!({
            names::INJECTION_STATUS_ANNOTATION: STATUS_TEXT, names::LIMITS_ANNOTATION: "max_spans=1000\nmax_bytes=65536\nmax_age=none\n", "mine": "kept",
        })
    );
    assert_eq!(patched["metadata"]["labels"], json!({names::INJECTED_LABEL: "true", "app": "web"}));
}

#[test]
fn a_second_injection_only_completes_containers_added_afterwards() {
    let pod = pod(&json!([{"name": "web"}]));
    let mut first = patched(&pod, &injected(&pod, sidecar()));
    assert_eq!(pod_facts(&first).unwrap().sidecar, SidecarPresence::Injected(key()));

    let again = apply_decision(&first, &completion_decision(sidecar()));
    let already = InjectionOutcome::Skipped(SkipReason::AlreadyInjected);
    assert_eq!((again.patch.0, &again.outcome), (vec![], &already));

    first["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "late"}));
    let completed = apply_decision(&first, &completion_decision(sidecar()));
    assert_eq!(
        serde_json::to_value(&completed.patch).unwrap(),
        json!([{
            "op": "add", "path": "/spec/containers/1/env",
            "value": [{"name": names::TRACES_ENDPOINT_VAR, "value": "http://127.0.0.1:4317"}],
        }])
    );
    assert_eq!(completed.outcome, already);
}

#[test]
fn an_outdated_sidecar_is_not_completed() {
    let pod = pod(&json!([{"name": "web"}]));
    let mut first = patched(&pod, &injected(&pod, sidecar()));
    first["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "late"}));
    let changed = Sidecar { hash: "h2".into(), ..sidecar() };
    assert!(apply_decision(&first, &completion_decision(changed)).patch.is_empty());
}

#[test]
fn an_unwanted_skip_is_recorded_and_causes_a_warning() {
    let pod = pod(&json!([{"name": "web"}]));
    let admitted = apply_decision(&pod, &skip(SkipReason::PortClash));
    assert_eq!(admitted.warnings, ["tracebuffer: no sidecar (PortClash): because; do this"]);
    assert_eq!(admitted.outcome, InjectionOutcome::Skipped(SkipReason::PortClash));
    let patched = patched(&pod, &admitted);
    assert_eq!(
        patched["metadata"]["annotations"],
        json!({names::INJECTION_STATUS_ANNOTATION: r#"{"skipped":"PortClash","message":"because; do this"}"#})
    );
    assert_eq!(patched["spec"], pod["spec"]);
    assert!(apply_decision(&patched, &skip(SkipReason::PortClash)).patch.is_empty());
}

#[test]
fn a_skip_that_the_owner_asked_for_causes_no_warning() {
    let pod = pod(&json!([{"name": "web"}]));
    for reason in [SkipReason::NotRequested, SkipReason::OptedOut, SkipReason::AlreadyInjected] {
        let admitted = apply_decision(&pod, &skip(reason));
        assert_eq!((admitted.patch.0, admitted.warnings), (vec![], Vec::<String>::new()));
    }
}

#[test]
fn a_grace_period_shorter_than_the_drain_timeout_is_a_warning() {
    let mut pod = pod(&json!([{"name": "web"}]));
    for (grace, drain, warned) in
        [(json!(24), 25, true), (json!(25), 25, false), (json!(null), 31, true)]
    {
        pod["spec"]["terminationGracePeriodSeconds"] = grace;
        let warnings =
            injected(&pod, Sidecar { drain_timeout_seconds: drain, ..sidecar() }).warnings;
        assert_eq!(warnings.len(), usize::from(warned), "{warnings:?}");
    }
    pod["spec"]["terminationGracePeriodSeconds"] = json!(5);
    assert_eq!(
        injected(&pod, sidecar()).warnings,
        ["tracebuffer: terminationGracePeriodSeconds 5 is less than the 25 s (drainTimeout of \
             TraceBuffer shop/default) that the sidecar needs to send buffered spans"]
    );
}

#[test]
fn a_mesh_proxy_that_terminates_first_is_a_warning() {
    let pod = pod(&json!([{"name": "web"}, {"name": "istio-proxy"}]));
    assert_eq!(
        injected(&pod, sidecar()).warnings,
        [
            "tracebuffer: istio-proxy terminates before the sidecar, which then cannot send buffered \
             spans; use the mesh's native sidecars"
        ]
    );
}

#[test]
fn every_warning_is_short() {
    let long = "x".repeat(1000);
    let own = json!([{"name": names::TRACES_ENDPOINT_VAR, "value": ""}]);
    let pod = pod(&json!([{"name": long, "env": own}, {"name": long, "envFrom": [{}]}]));
    let warnings = injected(&pod, Sidecar { drain_timeout_seconds: 99, ..sidecar() }).warnings;
    assert_eq!(warnings.len(), 3);
    assert!(warnings.iter().all(|text| text.len() < 256 && text.starts_with("tracebuffer: ")));
}
