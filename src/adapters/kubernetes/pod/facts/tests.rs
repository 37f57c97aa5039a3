use serde_json::json;

use super::*;
use crate::domain::operator::object_key::ObjectKey;

#[track_caller]
fn facts_of(pod: &Value) -> PodFacts {
    pod_facts(pod).unwrap()
}

fn spec(spec: &Value) -> Value {
    json!({"metadata": {}, "spec": spec})
}

#[test]
fn the_smallest_pod_has_no_facts() {
    for pod in [
        json!({"spec": {}}),
        json!({"kind": "Pod", "metadata": null, "spec": {"containers": null, "volumes": null}}),
        json!({"metadata": {"annotations": null, "labels": null}, "spec": {"containers": []}}),
    ] {
        assert_eq!(facts_of(&pod), PodFacts::default());
    }
}

#[test]
fn the_annotation_is_read() {
    let pod = json!({"metadata": {"annotations": {names::INJECT_KEY: "a/b"}}, "spec": {}});
    assert_eq!(facts_of(&pod).inject.as_deref(), Some("a/b"));
}

#[test]
fn the_hosts_network_and_completion_are_read() {
    assert!(facts_of(&spec(&json!({"hostNetwork": true}))).host_network);
    assert!(!facts_of(&spec(&json!({"hostNetwork": false}))).host_network);
    for (policy, completes) in [("Always", false), ("OnFailure", true), ("Never", true)] {
        assert_eq!(
            facts_of(&spec(&json!({"restartPolicy": policy}))).runs_to_completion,
            completes
        );
    }
}

#[test]
fn windows_pods_are_recognized_by_os_selector_or_affinity() {
    let affinity = |terms| {
        let required = json!({"nodeSelectorTerms": terms});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}})
    };
    let wants = |systems: &[&str]| json!({"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": systems}]});
    for (pod, windows) in [
        (json!({"os": {"name": "windows"}}), true),
        (json!({"os": {"name": "linux"}}), false),
        (json!({"nodeSelector": {"kubernetes.io/os": "windows"}}), true),
        (json!({"nodeSelector": {"beta.kubernetes.io/os": "windows"}}), true),
        (json!({"nodeSelector": {"kubernetes.io/os": "linux"}}), false),
        (affinity(json!([wants(&["windows"])])), true),
        (affinity(json!([wants(&["windows", "linux"])])), false),
        (affinity(json!([wants(&["windows"]), wants(&["linux"])])), false),
        (affinity(json!([])), false),
    ] {
        assert_eq!(facts_of(&spec(&pod)).windows, windows, "{pod}");
    }
}

#[test]
fn mirror_pods_are_recognized_by_their_annotation() {
    let pod = json!({"metadata": {"annotations": {MIRROR_ANNOTATION: "hash"}}, "spec": {}});
    assert!(facts_of(&pod).is_mirror_pod);
}

#[test]
fn tcp_ports_of_all_containers_are_read() {
    let pod = spec(&json!({
        "containers": [{"name": "web", "ports": [
            {"containerPort": 80}, {"containerPort": 81, "protocol": "TCP"},
            {"containerPort": 82, "protocol": "UDP"}, {"containerPort": "83"}, {"containerPort": 70_000},
        ]}],
        "initContainers": [{"name": "log", "ports": [{"containerPort": 90}]}],
    }));
    let claimed = |container: &str, port| ContainerPort { container: container.into(), port };
    assert_eq!(facts_of(&pod).ports, [claimed("web", 80), claimed("web", 81), claimed("log", 90)]);
}

#[test]
fn volume_names_are_read() {
    let pod = spec(&json!({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b"}]}));
    assert_eq!(facts_of(&pod).volumes, ["a", "b"]);
}

#[test]
fn a_container_with_the_sidecars_name_is_the_sidecar_if_annotation_and_label_agree() {
    let status = r#"{"injected":"shop/default","uid":"","hash":"","maxBytes":1}"#;
    let skipped = r#"{"skipped":"NameConflict","message":""}"#;
    let injected =
        SidecarPresence::Injected(ObjectKey { namespace: "shop".into(), name: "default".into() });
    for (status, label, presence) in [
        (status, "true", injected),
        (status, "false", SidecarPresence::Foreign),
        (skipped, "true", SidecarPresence::Foreign),
        ("?", "true", SidecarPresence::Foreign),
    ] {
        for list in ["containers", "initContainers"] {
            let metadata = json!({
                "annotations": {names::INJECTION_STATUS_ANNOTATION: status}, "labels": {names::INJECTED_LABEL: label},
            });
            let pod = json!({"metadata": metadata, "spec": {list: [{"name": "tracebuffer"}]}});
            assert_eq!(facts_of(&pod).sidecar, presence);
            let without = json!({"metadata": metadata, "spec": {list: [{"name": "web"}]}});
            assert_eq!(facts_of(&without).sidecar, SidecarPresence::Absent);
        }
    }
}

#[test]
fn unknown_fields_and_unusual_values_are_ignored() {
    let pod = json!({
        "apiVersion": "v9", "kind": "Pod", "metadata": {"annotations": {"other": 1}, "new": []},
        "spec": {
            "new": {"deep": [1]},
            "containers": [{"name": 7, "ports": {}, "env": [1, {}], "resources": []}, {}],
            "nodeSelector": [], "affinity": 3, "volumes": [{}, 1],
        },
    });
    assert!(pod_facts(&pod).is_ok());
}

#[test]
fn an_invalid_pod_is_rejected_with_its_field() {
    for (pod, error) in [
        (json!(null), "the object is not a pod"),
        (json!([]), "the object is not a pod"),
        (json!({"kind": "Deployment", "spec": {}}), "the object is not a pod"),
        (json!({}), "spec is missing or not an object"),
        (json!({"spec": 1}), "spec is missing or not an object"),
        (json!({"metadata": [], "spec": {}}), "metadata is not an object"),
        (json!({"metadata": {"labels": ""}, "spec": {}}), "metadata.labels is not an object"),
        (spec(&json!({"containers": {}})), "spec.containers is not an array"),
        (spec(&json!({"volumes": 1})), "spec.volumes is not an array"),
        (spec(&json!({"containers": [1]})), "spec.containers[0] is not an object"),
        (
            spec(&json!({"initContainers": [{"env": {}}]})),
            "spec.initContainers[0].env is not an array",
        ),
    ] {
        assert_eq!(pod_facts(&pod).unwrap_err().to_string(), error);
    }
}

#[test]
fn an_annotation_without_quotes_is_rejected() {
    let pod = json!({"metadata": {"annotations": {names::INJECT_KEY: true}}, "spec": {}});
    assert_eq!(
        pod_facts(&pod).unwrap_err().to_string(),
        "metadata.annotations[tracebuffer.dev/inject] is not a string; quote the value"
    );
}
