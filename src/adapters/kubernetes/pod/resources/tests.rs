use serde_json::json;

use super::*;
use crate::adapters::kubernetes::pod::testing::{key, pod, sidecar};

fn guaranteed() -> Value {
    let all = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}});
    json!({"name": "web", "resources": all})
}

fn fitted_resources(pod: &Value, sidecar: &Sidecar) -> (Value, Option<String>) {
    let (resources, warning) = fit_resources(pod, &key(), sidecar);
    (serde_json::to_value(resources).unwrap(), warning)
}

#[test]
fn an_ordinary_pod_changes_nothing() {
    let expected = serde_json::to_value(&sidecar().container.resources).unwrap();
    for containers in [json!([{"name": "web"}]), json!([guaranteed(), {"name": "log"}]), json!([])]
    {
        assert_eq!(fitted_resources(&pod(&containers), &sidecar()), (expected.clone(), None));
    }
}

#[test]
fn a_guaranteed_pod_stays_guaranteed() {
    let expected = json!({
        "requests": {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "16Mi"},
        "limits": {"cpu": "100m", "memory": "64Mi"},
    });
    assert_eq!(fitted_resources(&pod(&json!([guaranteed()])), &sidecar()), (expected, None));
}

#[test]
fn missing_requests_default_to_limits() {
    let only_limits = json!({"name": "web", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}});
    assert!(is_guaranteed(&pod(&json!([only_limits]))));
}

#[test]
fn init_containers_count_for_the_qos_class() {
    let mut pod = pod(&json!([guaranteed()]));
    pod["spec"]["initContainers"] = json!([{"name": "migrate"}]);
    assert!(!is_guaranteed(&pod));
    pod["spec"]["initContainers"] = json!([guaranteed()]);
    assert!(is_guaranteed(&pod));
}

#[test]
fn requests_below_limits_are_not_guaranteed() {
    for resources in [
        json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}),
        json!({"limits": {"memory": "1Gi"}}),
        json!({"limits": {"cpu": "0", "memory": "1Gi"}}),
        json!({"requests": {"cpu": "1", "memory": "1Gi"}}),
        json!({"limits": {"cpu": "?", "memory": "1Gi"}}),
        json!(null),
    ] {
        assert!(
            !is_guaranteed(&pod(&json!([{"name": "web", "resources": resources}]))),
            "{resources}"
        );
    }
}

#[test]
fn a_guaranteed_cpu_limit_is_the_request_or_the_minimum() {
    let mut busy = sidecar();
    let resources = busy.container.resources.as_mut().unwrap();
    resources.requests.as_mut().unwrap().insert("cpu".into(), Quantity("0.25".into()));
    let (resources, _) = fitted_resources(&pod(&json!([guaranteed()])), &busy);
    assert_eq!(resources["limits"]["cpu"], "0.25");
}

#[test]
fn explicit_resources_are_kept_and_a_lost_qos_class_is_a_warning() {
    let explicit = Sidecar { has_explicit_resources: true, ..sidecar() };
    let (resources, warning) = fitted_resources(&pod(&json!([guaranteed()])), &explicit);
    assert_eq!(resources, serde_json::to_value(&explicit.container.resources).unwrap());
    assert_eq!(
        warning.unwrap(),
        "the pod's QoS class is no longer Guaranteed: sidecar.resources of TraceBuffer shop/default lacks \
         limits, and requests equal to them, for cpu and memory"
    );
    assert_eq!(fitted_resources(&pod(&json!([{"name": "web"}])), &explicit).1, None);
}

#[test]
fn explicit_resources_that_keep_the_qos_class_are_no_warning() {
    let mut explicit = Sidecar { has_explicit_resources: true, ..sidecar() };
    make_guaranteed(explicit.container.resources.as_mut().unwrap());
    assert_eq!(fitted_resources(&pod(&json!([guaranteed()])), &explicit).1, None);
}

#[test]
fn the_sidecar_does_not_set_pod_level_resources() {
    let mut pod = pod(&json!([{"name": "web"}]));
    pod["spec"]["resources"] = json!({"limits": {"cpu": "2", "memory": "2Gi"}});
    assert_eq!(
        fitted_resources(&pod, &sidecar()),
        (
            json!({ "requests": {"ephemeral-storage": "16Mi"} }),
            Some("the pod's spec.resources must include 64Mi of memory for the sidecar".into())
        )
    );
    pod["spec"]["resources"] = json!({"requests": {"cpu": "2"}});
    let (resources, warning) = fitted_resources(&pod, &sidecar());
    assert_eq!(resources["requests"], json!({"ephemeral-storage": "16Mi", "memory": "64Mi"}));
    assert_eq!(warning, None);
}

#[test]
fn the_sidecar_has_a_limit_of_local_storage_only_if_another_container_has_one() {
    let limited = json!({"name": "a", "resources": {"limits": {"ephemeral-storage": "1Gi"}}});
    let requested = json!({"name": "b", "resources": {"requests": {"ephemeral-storage": "1Gi"}}});
    let limit =
        |pod: &Value| fitted_resources(pod, &sidecar()).0["limits"]["ephemeral-storage"].clone();

    assert_eq!(limit(&pod(&json!([requested, {"name": "c"}]))), Value::Null);
    assert_eq!(limit(&pod(&json!([limited, requested]))), "256Mi");
    let mut initialized = pod(&json!([requested]));
    initialized["spec"]["initContainers"] = json!([limited]);
    assert_eq!(limit(&initialized), "256Mi");
    initialized["spec"]["resources"] = json!({"limits": {"cpu": "2", "memory": "2Gi"}});
    assert_eq!(limit(&initialized), "256Mi");
}

#[test]
fn an_explicit_limit_of_local_storage_that_would_become_the_pods_is_a_warning() {
    let mut explicit = Sidecar { has_explicit_resources: true, ..sidecar() };
    let limits = explicit.container.resources.as_mut().unwrap().limits.as_mut().unwrap();
    limits.insert(STORAGE.into(), Quantity("1Gi".into()));

    let (_, warning) = fitted_resources(&pod(&json!([{"name": "web"}])), &explicit);
    let warning = warning.unwrap();
    assert!(warning.contains("becomes the limit of the whole pod"), "{warning}");

    let limited = json!({"name": "a", "resources": {"limits": {"ephemeral-storage": "1Gi"}}});
    assert_eq!(fitted_resources(&pod(&json!([limited])), &explicit).1, None);
}

#[test]
fn explicit_resources_in_a_pod_with_pod_level_resources_are_a_warning() {
    let mut pod = pod(&json!([{"name": "web"}]));
    pod["spec"]["resources"] = json!({"limits": {"memory": "2Gi"}});
    let explicit = Sidecar { has_explicit_resources: true, ..sidecar() };
    let (resources, warning) = fitted_resources(&pod, &explicit);
    assert_eq!(resources, serde_json::to_value(&explicit.container.resources).unwrap());
    assert!(warning.unwrap().contains("sidecar.resources of TraceBuffer shop/default"));
}
