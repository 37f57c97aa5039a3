//! Reads the facts for the injection decision from a pod's JSON.

use serde_json::Value;
use thiserror::Error;

use super::pod_json::{annotation, containers, is_true, label, list, name, text};
use super::status;
use crate::adapters::kubernetes::names;
use crate::domain::operator::injection::facts::{ContainerPort, PodFacts, SidecarPresence};
use crate::domain::operator::injection::status::InjectionStatus;

/// The annotation of mirror pods, which represent a kubelet's static pods in the API server.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
/// The node labels with the operating system; the second is deprecated.
const NODE_OS_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];
const WINDOWS: &str = "windows";

/// JSON that is not a valid pod, so that it cannot be patched.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} {message}")]
pub struct InvalidPod {
    /// The path of the invalid field.
    pub field: String,
    /// What is wrong with the field.
    pub message: &'static str,
}

/// Returns the facts of `pod`, which is a pod or a pod template.
///
/// # Errors
///
/// [`InvalidPod`] if a field that is read or patched has the wrong type; unknown fields are ignored.
pub fn pod_facts(pod: &Value) -> Result<PodFacts, InvalidPod> {
    validate(pod)?;
    let restart_policy = text(pod, "/spec/restartPolicy");
    Ok(PodFacts {
        inject: annotation(pod, names::INJECT_KEY).map(str::to_owned),
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
    ensure(is_pod && pod.is_object(), "the object", "is not a pod")?;
    ensure(pod.get("spec").is_some_and(Value::is_object), "spec", "is missing or not an object")?;
    ensure(is_map_or_absent(pod.get("metadata")), "metadata", "is not an object")?;
    for field in ["annotations", "labels"] {
        let value = pod.pointer(&format!("/metadata/{field}"));
        ensure(is_map_or_absent(value), &format!("metadata.{field}"), "is not an object")?;
    }
    for key in [names::INJECT_KEY, names::INJECTION_STATUS_ANNOTATION] {
        let value = pod.pointer("/metadata/annotations").and_then(|all| all.get(key));
        let message = "is not a string; quote the value";
        ensure(
            value.is_none_or(Value::is_string),
            &format!("metadata.annotations[{key}]"),
            message,
        )?;
    }
    for field in ["containers", "initContainers", "volumes", "imagePullSecrets"] {
        let value = pod.pointer(&format!("/spec/{field}"));
        ensure(is_list_or_absent(value), &format!("spec.{field}"), "is not an array")?;
    }
    for (kind, index, container) in containers(pod) {
        let field = format!("spec.{kind}[{index}]");
        ensure(container.is_object(), &field, "is not an object")?;
        ensure(
            is_list_or_absent(container.get("env")),
            &format!("{field}.env"),
            "is not an array",
        )?;
    }
    Ok(())
}

fn ensure(is_valid: bool, field: &str, message: &'static str) -> Result<(), InvalidPod> {
    if is_valid { Ok(()) } else { Err(InvalidPod { field: field.to_owned(), message }) }
}

fn is_map_or_absent(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_object() || value.is_null())
}

fn is_list_or_absent(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_array() || value.is_null())
}

/// Returns whether the pod can run on Windows nodes only.
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

/// Returns whether a term of a node affinity selects Windows nodes only.
fn requires_windows(term: &Value) -> bool {
    list(term, "/matchExpressions").iter().any(|expression| {
        let values = list(expression, "/values");
        text(expression, "/key").is_some_and(|key| NODE_OS_LABELS.contains(&key))
            && text(expression, "/operator") == Some("In")
            && !values.is_empty()
            && values.iter().all(|value| value == WINDOWS)
    })
}

/// A container with the sidecar's name is the sidecar only if the pod has the annotation and the label of
/// an injected pod.
fn sidecar_presence(pod: &Value) -> SidecarPresence {
    if !containers(pod).any(|(_, _, container)| name(container) == names::SIDECAR_CONTAINER) {
        return SidecarPresence::Absent;
    }
    let is_labelled = label(pod, names::INJECTED_LABEL) == Some(names::INJECTED_LABEL_VALUE);
    match annotation(pod, names::INJECTION_STATUS_ANNOTATION).and_then(status::from_annotation) {
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
