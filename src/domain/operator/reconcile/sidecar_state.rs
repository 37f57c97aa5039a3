//! The state of a pod's sidecar, compared with its `TraceBuffer`.

use super::trace_buffer_snapshot::{DesiredSidecar, TraceBufferSnapshot};
use crate::domain::operator::injection::facts::{ClusterFacts, NamespaceFacts};
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::request::InjectRequest;
use crate::domain::operator::injection::select::select;
use crate::domain::operator::injection::skip::{Skip, SkipReason};
use crate::domain::operator::injection::status::{InjectedSidecar, InjectionStatus};
use crate::domain::operator::object_key::ObjectKey;

/// The state of a pod's sidecar, compared with its `TraceBuffer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SidecarState {
    /// The sidecar matches the spec.
    Current,
    /// The sidecar predates a change that only a new pod can receive.
    Outdated(OutdatedReason),
    /// The pod asks for a sidecar and has none.
    Missing(MissingReason),
}

/// Why a sidecar is outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutdatedReason {
    /// The spec of the `TraceBuffer` changed.
    SpecChanged,
    /// The `TraceBuffer` was deleted and created again with another spec.
    Recreated,
    /// `maxBytes` is larger than what the sidecar's memory was sized for.
    NeedsMoreMemory,
}

/// Why a pod that asks for a sidecar has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MissingReason {
    /// The webhook was not called when the pod was created.
    WebhookNotCalled,
    /// The webhook skipped the pod.
    Skipped {
        /// Why, as one of a fixed set of reasons.
        reason: SkipReason,
        /// Why, in human-readable form.
        message: String,
    },
}

/// Returns the sidecar of `pod`, if it has one.
#[must_use]
pub const fn injected_sidecar(pod: &PodSnapshot) -> Option<&InjectedSidecar> {
    match &pod.status {
        Some(InjectionStatus::Injected(injected)) => Some(injected),
        _ => None,
    }
}

/// Returns whether `pod` has no sidecar although it asks for one. An invalid annotation also counts
/// as asking.
#[must_use]
pub fn is_missing_sidecar(pod: &PodSnapshot, namespace_opted_in: bool) -> bool {
    match &pod.status {
        Some(InjectionStatus::Injected(_)) => return false,
        Some(InjectionStatus::Skipped { reason, .. }) if !reason.should_warn() => return false,
        _ => {}
    }
    let request = InjectRequest::resolve(pod.inject.as_deref(), namespace_opted_in);
    !matches!(request, Ok(None | Some(InjectRequest::OptOut)))
}

/// Returns why `pod` has no sidecar although it opts in; `None` if it has one or does not opt in.
#[must_use]
pub fn missing_reason(
    pod: &PodSnapshot,
    namespace_opted_in: bool,
    cluster: &ClusterFacts,
) -> Option<MissingReason> {
    if !is_missing_sidecar(pod, namespace_opted_in) {
        return None;
    }
    let namespace = &pod.key.namespace;
    Some(match &pod.status {
        Some(InjectionStatus::Skipped { reason, message }) => {
            MissingReason::Skipped { reason: *reason, message: message.clone() }
        }
        _ if cluster.excludes(namespace) => MissingReason::excluded(namespace),
        _ => MissingReason::WebhookNotCalled,
    })
}

/// Returns the `TraceBuffer` that `pod` uses, or else the one that the injection decision would select.
/// `names` returns the names of the `TraceBuffer`s in the pod's namespace.
#[must_use]
pub fn trace_buffer_of_pod(
    pod: &PodSnapshot,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    names: impl FnOnce() -> Vec<String>,
) -> Option<ObjectKey> {
    if let Some(injected) = injected_sidecar(pod) {
        return Some(injected.trace_buffer.clone());
    }
    if !is_missing_sidecar(pod, namespace.opted_in) {
        return None;
    }
    trace_buffer_for_new_pod(pod.inject.as_deref(), namespace, cluster, names)
}

/// Returns the `TraceBuffer` that a new pod with the annotation `inject` asks for. `names` returns
/// the names of the `TraceBuffer`s in the pod's namespace.
#[must_use]
pub fn trace_buffer_for_new_pod(
    inject: Option<&str>,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    names: impl FnOnce() -> Vec<String>,
) -> Option<ObjectKey> {
    let request = InjectRequest::of_pod(inject, namespace, cluster).ok()?;
    select(&request, namespace, cluster, names).ok().map(|selected| selected.key)
}

/// Returns the sidecar state of a pod that uses the `TraceBuffer` `snapshot`, or asks for it.
///
/// A sidecar of a `TraceBuffer` with errors is current, because no newer sidecar can be built.
#[must_use]
pub fn sidecar_state(pod: &PodSnapshot, snapshot: &TraceBufferSnapshot) -> SidecarState {
    let injected = match &pod.status {
        Some(InjectionStatus::Injected(injected)) => injected,
        Some(InjectionStatus::Skipped { reason, message }) => {
            return SidecarState::Missing(MissingReason::Skipped {
                reason: *reason,
                message: message.clone(),
            });
        }
        None => return SidecarState::Missing(MissingReason::WebhookNotCalled),
    };
    match &snapshot.sidecar {
        Err(_) => SidecarState::Current,
        Ok(desired) => outdated_reason(injected, &snapshot.uid, desired)
            .map_or(SidecarState::Current, SidecarState::Outdated),
    }
}

/// Returns why the sidecar of a pod is outdated; `None` while it is current.
///
/// A different UID alone does not count: a new pod would get the same sidecar.
#[must_use]
pub fn outdated_reason(
    injected: &InjectedSidecar,
    uid: &str,
    desired: &DesiredSidecar,
) -> Option<OutdatedReason> {
    if injected.hash != desired.hash {
        let recreated = injected.uid != uid;
        return Some(if recreated {
            OutdatedReason::Recreated
        } else {
            OutdatedReason::SpecChanged
        });
    }
    (desired.limits.max_bytes.get() > injected.max_bytes).then_some(OutdatedReason::NeedsMoreMemory)
}

impl MissingReason {
    /// Returns the reason for a pod in a namespace in which injection is disabled: the webhook is not
    /// called there.
    #[must_use]
    pub fn excluded(namespace: &str) -> Self {
        let Skip { reason, message } = Skip::excluded(namespace);
        Self::Skipped { reason, message }
    }

    /// Returns the name of the reason in events and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::WebhookNotCalled => "WebhookNotCalled",
            Self::Skipped { reason, .. } => reason.as_str(),
        }
    }
}

impl OutdatedReason {
    /// Returns the name of the reason in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SpecChanged => "Changed",
            Self::Recreated => "Recreated",
            Self::NeedsMoreMemory => "NeedsMoreMemory",
        }
    }
}

#[cfg(test)]
mod tests;
