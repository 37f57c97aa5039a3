//! Fitting the sidecar's requests and limits into what the pod promises.
//!
//! A pod whose containers all have requests equal to their limits is *Guaranteed*, and stays so. A
//! pod with resources of its own (`spec.resources`) must hold its containers' sum, or the API server
//! refuses it; so a sidecar in it has none of what the pod names.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;

use super::pod_json::containers;
use crate::adapters::kubernetes::sidecar::Sidecar;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::quantity::parse_milli_value;

/// What a pod's class depends on.
const QOS_RESOURCES: [&str; 2] = ["cpu", "memory"];
/// The least a sidecar gets of a processor where it may not borrow more than it has requested.
const MIN_CPU: &str = "100m";

type ResourceList = BTreeMap<String, Quantity>;

/// Returns the sidecar's requests and limits in this pod, and what is to be said of them.
pub(super) fn fit_resources(
    pod: &Value,
    key: &ObjectKey,
    sidecar: &Sidecar,
) -> (Option<ResourceRequirements>, Option<String>) {
    let resources = sidecar.container.resources.clone();
    let of_pod = pod_level_resources(pod);
    if sidecar.has_explicit_resources {
        let said = explicit_resources_warning(pod, key, resources.as_ref(), &of_pod);
        return (resources, said);
    }
    let mut resources = resources.unwrap_or_default();
    if !of_pod.is_empty() {
        let said = remove_pod_level_resources(&mut resources, &of_pod);
        return (Some(resources), said);
    }
    if is_guaranteed(pod) {
        make_guaranteed(&mut resources);
    }
    (Some(resources), None)
}

/// What is to be said of resources that stay as the `TraceBuffer` sets them.
fn explicit_resources_warning(
    pod: &Value,
    key: &ObjectKey,
    resources: Option<&ResourceRequirements>,
    of_pod: &[&str],
) -> Option<String> {
    if !of_pod.is_empty() {
        return Some(format!(
            "the pod's spec.resources must hold the sidecar's, too, as sidecar.resources of \
             TraceBuffer {key} sets them"
        ));
    }
    let keeps = resources.and_then(|all| serde_json::to_value(all).ok());
    let keeps =
        keeps.is_some_and(|all| QOS_RESOURCES.iter().all(|what| request_equals_limit(&all, what)));
    (is_guaranteed(pod) && !keeps).then(|| {
        format!(
            "the pod is no longer Guaranteed: sidecar.resources of TraceBuffer {key} lacks limits, \
             and requests equal to them, for cpu and memory"
        )
    })
}

/// Returns which of cpu and memory the pod has for all its containers together.
fn pod_level_resources(pod: &Value) -> Vec<&'static str> {
    let names = |list: &str, what: &str| {
        pod.pointer(&format!("/spec/resources/{list}/{what}")).is_some_and(|value| !value.is_null())
    };
    QOS_RESOURCES
        .into_iter()
        .filter(|what| names("limits", what) || names("requests", what))
        .collect()
}

fn remove_pod_level_resources(
    resources: &mut ResourceRequirements,
    of_pod: &[&str],
) -> Option<String> {
    let memory = resources.limits.as_ref().and_then(|limits| limits.get("memory")).cloned();
    for amounts in [&mut resources.requests, &mut resources.limits] {
        if let Some(amounts) = amounts {
            amounts.retain(|what, _| !of_pod.contains(&what.as_str()));
        }
        if amounts.as_ref().is_some_and(BTreeMap::is_empty) {
            *amounts = None;
        }
    }
    let memory = memory.filter(|_| of_pod.contains(&"memory"))?;
    let memory = memory.0;
    Some(format!("the pod's spec.resources must hold the sidecar, too: leave {memory} of memory"))
}

/// Whether every container has requests equal to its limits.
fn is_guaranteed(pod: &Value) -> bool {
    let mut all = containers(pod).map(|(_, _, container)| container.get("resources")).peekable();
    all.peek().is_some()
        && all.all(|resources| {
            resources
                .is_some_and(|all| QOS_RESOURCES.iter().all(|what| request_equals_limit(all, what)))
        })
}

/// Whether a limit is set, and the request, which is the limit where it is left out, equals it.
fn request_equals_limit(resources: &Value, what: &str) -> bool {
    let amount = |list: &str| {
        let value = resources.get(list)?.get(what)?;
        parse_milli_value(&value.as_str().map_or_else(|| value.to_string(), str::to_owned)).ok()
    };
    let limit = amount("limits");
    limit.is_some_and(|limit| limit > 0) && [None, limit].contains(&amount("requests"))
}

/// Makes requests and limits of cpu and memory the same: the limit, or else the request.
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
