//! Adds the sidecar's container to a pod.

use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements};
use serde::Serialize;
use serde_json::Value;

use super::patch_builder::PatchBuilder;
use super::pod_json::{
    CONTAINERS, INIT_CONTAINERS, containers, grace_period_seconds, is_true, list, name,
};
use super::position::SidecarPosition;
use crate::adapters::kubernetes::sidecar::{Sidecar, environment};
use crate::domain::bounds;

/// Adds the container, its volumes and its image pull secrets.
pub(super) fn add_container(
    patch: &mut PatchBuilder<'_>,
    pod: &Value,
    sidecar: &Sidecar,
    position: SidecarPosition,
    resources: Option<ResourceRequirements>,
) {
    let mut container = sidecar.container.clone();
    container.resources = resources;
    container.env.get_or_insert_default().push(grace_period(pod));
    if let Some(user) = common_user(pod).filter(|_| !sidecar.has_explicit_user) {
        container.security_context.get_or_insert_default().run_as_user = Some(user);
    }
    match position {
        SidecarPosition::Native { index } => {
            container.restart_policy = Some("Always".to_owned());
            patch.insert_before(&["spec", INIT_CONTAINERS], index, to_json(&container));
        }
        SidecarPosition::Container => {
            patch.append(&["spec", CONTAINERS], vec![to_json(&container)]);
        }
    }
    patch.append(&["spec", "volumes"], absent_items(pod, "/spec/volumes", &sidecar.volumes));
    let secrets = absent_items(pod, "/spec/imagePullSecrets", &sidecar.image_pull_secrets);
    patch.append(&["spec", "imagePullSecrets"], secrets);
}

/// Returns the user that all containers run as, unless it is root.
///
/// Tokens that the kubelet mounts belong to that user and nobody else can read them; beside a container of
/// another user everybody could. Where processes see each other, another user is what protects the sidecar's
/// files.
fn common_user(pod: &Value) -> Option<i64> {
    if is_true(pod, "/spec/shareProcessNamespace") {
        return None;
    }
    let user = |of: &Value| of.pointer("/securityContext/runAsUser").and_then(Value::as_i64);
    let of_pod = pod.get("spec").and_then(user);
    let mut users = containers(pod).map(|(_, _, container)| user(container).or(of_pod));
    let first = users.next()??;
    (first != 0 && users.all(|other| other == Some(first))).then_some(first)
}

/// Returns the variable that tells the receiver when the kubelet kills it.
fn grace_period(pod: &Value) -> EnvVar {
    let seconds = grace_period_seconds(pod).min(bounds::GRACE_PERIOD.max / 1_000);
    environment::variable("TERMINATION_GRACE_PERIOD", format!("{seconds}s"))
}

/// Returns those of `items` whose name is not in the array at `pointer`.
fn absent_items<T: Serialize>(pod: &Value, pointer: &str, items: &[T]) -> Vec<Value> {
    let existing: Vec<_> = list(pod, pointer).iter().map(name).collect();
    items.iter().map(to_json).filter(|item| !existing.contains(&name(item))).collect()
}

/// Serializes a type of the Kubernetes API, which cannot fail.
fn to_json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_users(pod_user: &Value, container_users: &[Value], init_users: &[Value]) -> Value {
        let of = |users: &[Value]| {
            let each = users.iter().map(|user| json!({"securityContext": {"runAsUser": user}}));
            each.collect::<Vec<_>>()
        };
        json!({"spec": {
            "securityContext": {"runAsUser": pod_user},
            "containers": of(container_users),
            "initContainers": of(init_users),
        }})
    }

    #[test]
    fn the_user_of_all_containers_is_that_of_the_pod_unless_they_set_another() {
        let null = json!(null);
        for (pod_user, containers, init_containers, expected) in [
            (json!(7), vec![null.clone()], vec![], Some(7)),
            (null.clone(), vec![json!(7), json!(7)], vec![json!(7)], Some(7)),
            (json!(8), vec![json!(7)], vec![json!(7)], Some(7)),
            (json!(7), vec![null.clone()], vec![json!(8)], None),
            (null.clone(), vec![json!(7), null.clone()], vec![], None),
            (json!(0), vec![null.clone()], vec![], None),
            (null, vec![], vec![], None),
        ] {
            let pod = with_users(&pod_user, &containers, &init_containers);
            assert_eq!(common_user(&pod), expected, "{pod}");
        }
        let mut shared = with_users(&json!(7), &[json!(7)], &[]);
        shared["spec"]["shareProcessNamespace"] = json!(true);
        assert_eq!(common_user(&shared), None);
    }
}
