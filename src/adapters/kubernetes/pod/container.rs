//! The sidecar's container as its place in a pod makes it.

use k8s_openapi::api::core::v1::ResourceRequirements;
use serde::Serialize;
use serde_json::Value;

use super::edit::Edit;
use super::place::Place;
use super::read::{CONTAINERS, INIT_CONTAINERS, list, name};
use crate::adapters::kubernetes::sidecar::Sidecar;

/// Adds the container, its volumes and its pull secrets.
pub(super) fn add(
    edit: &mut Edit<'_>,
    pod: &Value,
    sidecar: &Sidecar,
    place: Place,
    resources: Option<ResourceRequirements>,
) {
    let mut container = sidecar.container.clone();
    container.resources = resources;
    match place {
        Place::Native { index } => {
            container.restart_policy = Some("Always".to_owned());
            edit.insert_before(&["spec", INIT_CONTAINERS], index, json(&container));
        }
        Place::Plain => edit.append(&["spec", CONTAINERS], vec![json(&container)]),
    }
    edit.append(&["spec", "volumes"], missing(pod, "/spec/volumes", &sidecar.volumes));
    let secrets = missing(pod, "/spec/imagePullSecrets", &sidecar.image_pull_secrets);
    edit.append(&["spec", "imagePullSecrets"], secrets);
}

/// Returns those of `items` that the list at `pointer` has none of the same name of.
fn missing<T: Serialize>(pod: &Value, pointer: &str, items: &[T]) -> Vec<Value> {
    let there: Vec<_> = list(pod, pointer).iter().map(name).collect();
    items.iter().map(json).filter(|item| !there.contains(&name(item))).collect()
}

/// What Kubernetes' types are made of always serializes.
fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
