//! Fits the sidecar's requests and limits into the pod's quality of service class, pod-level resources and
//! limit of local storage.
//!
//! A pod whose containers all have requests equal to their limits is *Guaranteed*, and stays so. The
//! API server rejects a pod whose pod-level resources (`spec.resources`) are less than the sum of its
//! containers, so the sidecar does not set resources that the pod sets.
//!
//! The kubelet evicts a pod that uses more local storage than the sum of its containers' limits, in which
//! one without a limit counts as nothing. So the sidecar has a limit only if another container has one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;

use super::pod_json::containers;
use crate::adapters::kubernetes::sidecar::Sidecar;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::quantity::parse_milli_value;

/// The resources that a pod's quality of service class depends on.
const QOS_RESOURCES: [&str; 2] = ["cpu", "memory"];
const STORAGE: &str = "ephemeral-storage";
/// Enough for the log, of which a kubelet keeps up to 50Mi by default.
const STORAGE_LIMIT: &str = "256Mi";
/// The minimum CPU of a sidecar whose CPU limit equals its request.
const MIN_CPU: &str = "100m";

type ResourceList = BTreeMap<String, Quantity>;

/// Returns the sidecar's requests and limits in this pod, and a warning about them.
pub(super) fn fit_resources(
    pod: &Value,
    key: &ObjectKey,
    sidecar: &Sidecar,
) -> (Option<ResourceRequirements>, Option<String>) {
    let resources = sidecar.container.resources.clone();
    let pod_level = pod_level_resources(pod);
    if sidecar.has_explicit_resources {
        let warning = explicit_resources_warning(pod, key, resources.as_ref(), &pod_level);
        return (resources, warning);
    }
    let mut resources = resources.unwrap_or_default();
    if limits_storage(pod) {
        let limit = Quantity(STORAGE_LIMIT.to_owned());
        resources.limits.get_or_insert_default().insert(STORAGE.to_owned(), limit);
    }
    if !pod_level.is_empty() {
        let warning = remove_pod_level_resources(&mut resources, &pod_level);
        return (Some(resources), warning);
    }
    if is_guaranteed(pod) {
        make_guaranteed(&mut resources);
    }
    (Some(resources), None)
}

/// Returns a warning about resources that the `TraceBuffer` sets explicitly.
fn explicit_resources_warning(
    pod: &Value,
    key: &ObjectKey,
    resources: Option<&ResourceRequirements>,
    pod_level: &[&str],
) -> Option<String> {
    if !pod_level.is_empty() {
        return Some(format!(
            "the pod's spec.resources must include the sidecar's, which sidecar.resources of \
             TraceBuffer {key} sets"
        ));
    }
    let sets_storage_limit = resources
        .and_then(|all| all.limits.as_ref())
        .is_some_and(|limits| limits.contains_key(STORAGE));
    if sets_storage_limit && !limits_storage(pod) {
        return Some(format!(
            "the ephemeral-storage limit in sidecar.resources of TraceBuffer {key} becomes the limit of the \
             whole pod, because no other container has one"
        ));
    }
    let resources = resources.and_then(|all| serde_json::to_value(all).ok());
    let keeps_class = resources
        .is_some_and(|all| QOS_RESOURCES.iter().all(|name| request_equals_limit(&all, name)));
    (is_guaranteed(pod) && !keeps_class).then(|| {
        format!(
            "the pod's QoS class is no longer Guaranteed: sidecar.resources of TraceBuffer {key} \
             lacks limits, and requests equal to them, for cpu and memory"
        )
    })
}

/// Returns whether a container or init container has a limit of local storage.
fn limits_storage(pod: &Value) -> bool {
    containers(pod).any(|(_, _, container)| {
        container
            .pointer("/resources/limits")
            .is_some_and(|limits| limits.get(STORAGE).is_some_and(|limit| !limit.is_null()))
    })
}

/// Returns which of cpu and memory the pod sets for all its containers together.
fn pod_level_resources(pod: &Value) -> Vec<&'static str> {
    let sets = |list: &str, name: &str| {
        pod.pointer(&format!("/spec/resources/{list}/{name}")).is_some_and(|value| !value.is_null())
    };
    QOS_RESOURCES
        .into_iter()
        .filter(|name| sets("limits", name) || sets("requests", name))
        .collect()
}

fn remove_pod_level_resources(
    resources: &mut ResourceRequirements,
    pod_level: &[&str],
) -> Option<String> {
    let memory = resources.limits.as_ref().and_then(|limits| limits.get("memory")).cloned();
    for amounts in [&mut resources.requests, &mut resources.limits] {
        if let Some(amounts) = amounts {
            amounts.retain(|name, _| !pod_level.contains(&name.as_str()));
        }
        if amounts.as_ref().is_some_and(BTreeMap::is_empty) {
            *amounts = None;
        }
    }
    let memory = memory.filter(|_| pod_level.contains(&"memory"))?;
    let memory = memory.0;
    Some(format!("the pod's spec.resources must include {memory} of memory for the sidecar"))
}

/// Returns whether every container has requests equal to its limits.
fn is_guaranteed(pod: &Value) -> bool {
    let mut all = containers(pod).map(|(_, _, container)| container.get("resources")).peekable();
    all.peek().is_some()
        && all.all(|resources| {
            resources
                .is_some_and(|all| QOS_RESOURCES.iter().all(|name| request_equals_limit(all, name)))
        })
}

/// Returns whether a limit is set, and equals the request; a request that is not set equals the limit.
fn request_equals_limit(resources: &Value, name: &str) -> bool {
    let amount = |list: &str| {
        let value = resources.get(list)?.get(name)?;
        parse_milli_value(&value.as_str().map_or_else(|| value.to_string(), str::to_owned)).ok()
    };
    let limit = amount("limits");
    limit.is_some_and(|limit| limit > 0) && [None, limit].contains(&amount("requests"))
}

/// Sets requests and limits of cpu and memory to the same value: the limit, or else the request.
fn make_guaranteed(resources: &mut ResourceRequirements) {
    let requests = resources.requests.get_or_insert_default();
    let limits = resources.limits.get_or_insert_default();
    let cpu = limits.get("cpu").cloned().unwrap_or_else(|| guaranteed_cpu(requests));
    let memory = limits.get("memory").or_else(|| requests.get("memory")).cloned();
    let both: ResourceList = [("cpu".to_owned(), cpu)]
        .into_iter()
        .chain(memory.map(|m| ("memory".to_owned(), m)))
        .collect();
    requests.extend(both.clone());
    limits.extend(both);
}

fn guaranteed_cpu(requests: &ResourceList) -> Quantity {
    let size = |cpu: &str| parse_milli_value(cpu).unwrap_or_default();
    let requested = requests.get("cpu").filter(|cpu| size(&cpu.0) >= size(MIN_CPU));
    requested.cloned().unwrap_or_else(|| Quantity(MIN_CPU.to_owned()))
}

#[cfg(test)]
mod tests;
