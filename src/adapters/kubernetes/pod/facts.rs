//! What the decision needs to know of a pod, from its JSON.

use serde_json::Value;
use thiserror::Error;

use super::pod_json::{annotation, containers, is_true, label, list, name, text};
use super::status;
use crate::adapters::kubernetes::names;
use crate::domain::operator::injection::facts::{ContainerPort, PodFacts, SidecarPresence};
use crate::domain::operator::injection::status::InjectionStatus;

/// What a kubelet marks its static pods' copies in the API server with.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
/// The node labels that tell the operating system; the second is of old.
const NODE_OS_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];
const WINDOWS: &str = "windows";

/// JSON that is no pod, or none that can be patched.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} {message}")]
pub struct InvalidPod {
    /// Which part of it.
    pub field: String,
    /// What is wrong with it.
    pub message: &'static str,
}

/// Returns what the decision needs to know of `pod`, a pod or a pod template.
///
/// # Errors
///
/// [`InvalidPod`] where a part is not of the form that every pod has; whatever is merely unknown passes.
pub fn pod_facts(pod: &Value) -> Result<PodFacts, InvalidPod> {
    validate(pod)?;
    let restart_policy = text(pod, "/spec/restartPolicy");
    Ok(PodFacts {
        inject: annotation(pod, names::INJECT).map(str::to_owned),
        host_network: is_true(pod, "/spec/hostNetwork"),
        windows: is_for_windows(pod),
        is_mirror_pod: annotation(pod, MIRROR_ANNOTATION).is_some(),
        runs_to_completion: restart_policy.is_some_and(|policy| policy != "Always"),
        sidecar: sidecar_presence(pod),
        volumes: list(pod, "/spec/volumes").iter().map(|volume| name(volume).to_owned()).collect(),
        ports: containers(pod).flat_map(|(_, _, container)| container_ports(container)).collect(),
    })
}

fn validate(pod: &Value) -> Result<(), InvalidPod> {
    let is_pod = text(pod, "/kind").is_none_or(|kind| kind == "Pod");
    ensure(is_pod && pod.is_object(), "the object", "is no pod")?;
    ensure(pod.get("spec").is_some_and(Value::is_object), "spec", "is missing or no map")?;
    ensure(is_map_or_absent(pod.get("metadata")), "metadata", "is no map")?;
    for field in ["annotations", "labels"] {
        let value = pod.pointer(&format!("/metadata/{field}"));
        ensure(is_map_or_absent(value), &format!("metadata.{field}"), "is no map")?;
    }
    for key in [names::INJECT, names::STATUS] {
        let value = pod.pointer("/metadata/annotations").and_then(|all| all.get(key));
        let why = "is no text; put the value in quotes";
        ensure(value.is_none_or(Value::is_string), &format!("metadata.annotations[{key}]"), why)?;
    }
    for field in ["containers", "initContainers", "volumes", "imagePullSecrets"] {
        let value = pod.pointer(&format!("/spec/{field}"));
        ensure(is_list_or_absent(value), &format!("spec.{field}"), "is no list")?;
    }
    for (kind, index, container) in containers(pod) {
        let field = format!("spec.{kind}[{index}]");
        ensure(container.is_object(), &field, "is no map")?;
        ensure(is_list_or_absent(container.get("env")), &format!("{field}.env"), "is no list")?;
    }
    Ok(())
}

fn ensure(holds: bool, field: &str, why: &'static str) -> Result<(), InvalidPod> {
    if holds { Ok(()) } else { Err(InvalidPod { field: field.to_owned(), message: why }) }
}

fn is_map_or_absent(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_object() || value.is_null())
}

fn is_list_or_absent(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_array() || value.is_null())
}

/// Whether nothing but a node with Windows can run it.
fn is_for_windows(pod: &Value) -> bool {
    let selector = pod.pointer("/spec/nodeSelector");
    let selects =
        |key: &&str| selector.and_then(|all| all.get(*key)).is_some_and(|system| system == WINDOWS);
    let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                 /nodeSelectorTerms";
    let terms = list(pod, terms);
    text(pod, "/spec/os/name") == Some(WINDOWS)
        || NODE_OS_LABELS.iter().any(selects)
        || (!terms.is_empty() && terms.iter().all(requires_windows))
}

/// Whether a term of a node affinity wants a node with Windows.
fn requires_windows(term: &Value) -> bool {
    list(term, "/matchExpressions").iter().any(|expression| {
        let values = list(expression, "/values");
        text(expression, "/key").is_some_and(|key| NODE_OS_LABELS.contains(&key))
            && text(expression, "/operator") == Some("In")
            && !values.is_empty()
            && values.iter().all(|value| value == WINDOWS)
    })
}

/// A container of the sidecar's name is the sidecar if annotation and label say so, too.
fn sidecar_presence(pod: &Value) -> SidecarPresence {
    if !containers(pod).any(|(_, _, container)| name(container) == names::SIDECAR_CONTAINER) {
        return SidecarPresence::Absent;
    }
    let is_labelled = label(pod, names::INJECTED) == Some(names::INJECTED_TRUE);
    match annotation(pod, names::STATUS).and_then(status::from_annotation) {
        Some(InjectionStatus::Injected(injected)) if is_labelled => {
            SidecarPresence::Injected(injected.trace_buffer)
        }
        _ => SidecarPresence::Foreign,
    }
}

fn container_ports(container: &Value) -> impl Iterator<Item = ContainerPort> {
    let over_tcp = list(container, "/ports")
        .iter()
        .filter(|port| text(port, "/protocol").is_none_or(|protocol| protocol == "TCP"));
    over_tcp.filter_map(|port| {
        let port = u16::try_from(port.get("containerPort")?.as_u64()?).ok()?;
        Some(ContainerPort { container: name(container).to_owned(), port })
    })
}

#[cfg(test)]
mod tests;
