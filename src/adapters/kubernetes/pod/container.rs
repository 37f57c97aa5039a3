//! The sidecar's container as its place in a pod makes it.

use k8s_openapi::api::core::v1::ResourceRequirements;
use serde::Serialize;
use serde_json::Value;

use super::patch_builder::PatchBuilder;
use super::pod_json::{CONTAINERS, INIT_CONTAINERS, list, name};
use super::position::SidecarPosition;
use crate::adapters::kubernetes::sidecar::Sidecar;

/// Adds the container, its volumes and its pull secrets.
pub(super) fn add_container(
    edit: &mut PatchBuilder<'_>,
    pod: &Value,
    sidecar: &Sidecar,
    place: SidecarPosition,
    resources: Option<ResourceRequirements>,
) {
    let mut container = sidecar.container.clone();
    container.resources = resources;
    match place {
        SidecarPosition::Native { index } => {
            container.restart_policy = Some("Always".to_owned());
            edit.insert_before(&["spec", INIT_CONTAINERS], index, to_json(&container));
        }
        SidecarPosition::Container => edit.append(&["spec", CONTAINERS], vec![to_json(&container)]),
    }
    edit.append(&["spec", "volumes"], absent_items(pod, "/spec/volumes", &sidecar.volumes));
    let secrets = absent_items(pod, "/spec/imagePullSecrets", &sidecar.image_pull_secrets);
    edit.append(&["spec", "imagePullSecrets"], secrets);
}

/// Returns those of `items` that the list at `pointer` has none of the same name of.
fn absent_items<T: Serialize>(pod: &Value, pointer: &str, items: &[T]) -> Vec<Value> {
    let there: Vec<_> = list(pod, pointer).iter().map(name).collect();
    items.iter().map(to_json).filter(|item| !there.contains(&name(item))).collect()
}

/// What Kubernetes' types are made of always serializes.
fn to_json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
