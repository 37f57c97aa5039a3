//! How a pod stands to the `TraceBuffer` that it uses or asks for.

use super::trace_buffer_snapshot::{DesiredSidecar, TraceBufferSnapshot};
use crate::domain::operator::injection::facts::{ClusterFacts, NamespaceFacts};
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::request::InjectRequest;
use crate::domain::operator::injection::select::select;
use crate::domain::operator::injection::skip::{Skip, SkipReason};
use crate::domain::operator::injection::status::{InjectedSidecar, InjectionStatus};
use crate::domain::operator::object_key::ObjectKey;

/// How a pod stands to its `TraceBuffer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SidecarState {
    /// Its sidecar is as the spec says.
    Current,
    /// Its sidecar is from before a change that only a new pod can take up.
    Outdated(OutdatedReason),
    /// It asks for a sidecar and has none.
    Missing(MissingReason),
}

/// Why a sidecar is outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutdatedReason {
    /// The `TraceBuffer` changed.
    HashDiffers,
    /// It was deleted, and another of the same name says something else.
    Recreated,
    /// It may hold more bytes now than the sidecar's memory was made for.
    NeedsMoreMemory,
}

/// Why a pod that asks for a sidecar has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MissingReason {
    /// The webhook was not asked when the pod was created.
    WebhookNotCalled,
    /// It was asked, and said why not.
    Skipped {
        /// The reason.
        reason: SkipReason,
        /// The same for people.
        message: String,
    },
}

/// Pods of a `TraceBuffer`, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodCounts {
    /// All of them.
    pub total: u32,
    /// Their sidecar is as the spec says.
    pub current: u32,
    /// Their sidecar is from before a change that only a new pod can take up.
    pub outdated: u32,
    /// They ask for a sidecar and have none.
    pub missing: u32,
}

/// Returns whether `pod` has no sidecar and asks for one, even by an annotation without meaning.
#[must_use]
pub fn is_missing_sidecar(pod: &PodSnapshot, namespace_asks: bool) -> bool {
    match &pod.status {
        Some(InjectionStatus::Injected(_)) => return false,
        Some(InjectionStatus::Skipped { reason, .. }) if !reason.should_warn() => return false,
        _ => {}
    }
    let request = InjectRequest::resolve(pod.inject.as_deref(), namespace_asks);
    !matches!(request, Ok(None | Some(InjectRequest::OptOut)))
}

/// Returns the `TraceBuffer` that `pod` uses, or asks for by the rules of the injection decision.
/// `names` are those in its namespace.
#[must_use]
pub fn trace_buffer_of_pod(
    pod: &PodSnapshot,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    names: impl FnOnce() -> Vec<String>,
) -> Option<ObjectKey> {
    if let Some(InjectionStatus::Injected(injected)) = &pod.status {
        return Some(injected.trace_buffer.clone());
    }
    if !is_missing_sidecar(pod, namespace.opted_in) {
        return None;
    }
    trace_buffer_for_new_pod(pod.inject.as_deref(), namespace, cluster, names)
}

/// Returns the `TraceBuffer` that a new pod whose annotation is `inject` asks for. `names` are those
/// in its namespace.
#[must_use]
pub fn trace_buffer_for_new_pod(
    inject: Option<&str>,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    names: impl FnOnce() -> Vec<String>,
) -> Option<ObjectKey> {
    if cluster.excludes(&namespace.name) {
        return None;
    }
    let request = InjectRequest::resolve(inject, namespace.opted_in).ok()??;
    select(&request, namespace, cluster, names).ok().map(|selected| selected.key)
}

/// Returns how a pod that belongs to `declared` stands to it.
///
/// A sidecar of a `TraceBuffer` that has mistakes is current: there is nothing newer to be had.
#[must_use]
pub fn sidecar_state(pod: &PodSnapshot, declared: &TraceBufferSnapshot) -> SidecarState {
    let injected = match &pod.status {
        Some(InjectionStatus::Injected(injected)) => injected,
        Some(InjectionStatus::Skipped { reason, message }) => {
            let cause = MissingReason::Skipped { reason: *reason, message: message.clone() };
            return SidecarState::Missing(cause);
        }
        None => return SidecarState::Missing(MissingReason::WebhookNotCalled),
    };
    match &declared.sidecar {
        Err(_) => SidecarState::Current,
        Ok(needs) => outdated_reason(injected, &declared.uid, needs)
            .map_or(SidecarState::Current, SidecarState::Outdated),
    }
}

/// Another UID alone changes nothing: the sidecar is what a new pod would get.
fn outdated_reason(
    injected: &InjectedSidecar,
    uid: &str,
    needs: &DesiredSidecar,
) -> Option<OutdatedReason> {
    if injected.hash != needs.hash {
        let recreated = injected.uid != uid;
        return Some(if recreated {
            OutdatedReason::Recreated
        } else {
            OutdatedReason::HashDiffers
        });
    }
    (needs.limits.max_bytes.get() > injected.max_bytes).then_some(OutdatedReason::NeedsMoreMemory)
}

impl PodCounts {
    /// Counts pods by their standing.
    pub fn of<'a>(states: impl IntoIterator<Item = &'a SidecarState>) -> Self {
        let mut counts = Self::default();
        for state in states {
            counts.total += 1;
            match state {
                SidecarState::Current => counts.current += 1,
                SidecarState::Outdated(_) => counts.outdated += 1,
                SidecarState::Missing(_) => counts.missing += 1,
            }
        }
        counts
    }
}

impl MissingReason {
    /// Returns the cause for a pod of a namespace in which injection is disabled; the webhook is not
    /// called for it.
    #[must_use]
    pub fn excluded(namespace: &str) -> Self {
        let Skip { reason, message } = Skip::excluded(namespace);
        Self::Skipped { reason, message }
    }

    /// Returns the word for it in events and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::WebhookNotCalled => "WebhookNotCalled",
            Self::Skipped { reason, .. } => reason.as_str(),
        }
    }
}

impl OutdatedReason {
    /// Returns the word for it in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HashDiffers => "Changed",
            Self::Recreated => "Recreated",
            Self::NeedsMoreMemory => "NeedsMoreMemory",
        }
    }
}

#[cfg(test)]
mod tests;
