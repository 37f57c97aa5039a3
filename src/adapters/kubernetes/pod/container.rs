//! Adds the sidecar's container to a pod.

use k8s_openapi::api::core::v1::ResourceRequirements;
use serde::Serialize;
use serde_json::Value;

use super::patch_builder::PatchBuilder;
use super::pod_json::{CONTAINERS, INIT_CONTAINERS, list, name};
use super::position::SidecarPosition;
use crate::adapters::kubernetes::sidecar::Sidecar;

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

/// Returns those of `items` whose name is not in the array at `pointer`.
fn absent_items<T: Serialize>(pod: &Value, pointer: &str, items: &[T]) -> Vec<Value> {
    let existing: Vec<_> = list(pod, pointer).iter().map(name).collect();
    items.iter().map(to_json).filter(|item| !existing.contains(&name(item))).collect()
}

/// Serializes a type of the Kubernetes API, which cannot fail.
fn to_json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
