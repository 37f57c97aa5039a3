//! How a pod stands to the `TraceBuffer` that it uses or asks for.

use super::declared::{Declared, Needs};
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::facts::{ClusterFacts, NamespaceFacts};
use crate::domain::injection::pod_record::PodRecord;
use crate::domain::injection::request::InjectRequest;
use crate::domain::injection::select::select;
use crate::domain::injection::skip::{Skip, SkipReason};
use crate::domain::injection::status::{Injected, PodStatus};

/// How a pod stands to its `TraceBuffer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its sidecar is as the spec says.
    Current,
    /// Its sidecar is from before a change that only a new pod can take up.
    Outdated(Change),
    /// It asks for a sidecar and has none.
    Missing(Cause),
}

/// Why a sidecar is outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// The `TraceBuffer` changed.
    HashDiffers,
    /// It was deleted, and another of the same name says something else.
    Recreated,
    /// It may hold more bytes now than the sidecar's memory was made for.
    NeedsMoreMemory,
}

/// Why a pod that asks for a sidecar has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
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
pub fn asks_in_vain(pod: &PodRecord, namespace_asks: bool) -> bool {
    match &pod.status {
        Some(PodStatus::Injected(_)) => return false,
        Some(PodStatus::Skipped { reason, .. }) if !reason.is_surprising() => return false,
        _ => {}
    }
    let request = InjectRequest::of(pod.inject.as_deref(), namespace_asks);
    !matches!(request, Ok(None | Some(InjectRequest::Never)))
}

/// Returns the `TraceBuffer` that `pod` uses, or asks for by the rules of the injection decision.
/// `names` are those in its namespace.
#[must_use]
pub fn trace_buffer_of(
    pod: &PodRecord,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    names: impl FnOnce() -> Vec<String>,
) -> Option<ObjectKey> {
    if let Some(PodStatus::Injected(injected)) = &pod.status {
        return Some(injected.trace_buffer.clone());
    }
    if !asks_in_vain(pod, namespace.asks) {
        return None;
    }
    trace_buffer_for(pod.inject.as_deref(), namespace, cluster, names)
}

/// Returns the `TraceBuffer` that a new pod whose annotation is `inject` asks for. `names` are those
/// in its namespace.
#[must_use]
pub fn trace_buffer_for(
    inject: Option<&str>,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    names: impl FnOnce() -> Vec<String>,
) -> Option<ObjectKey> {
    if cluster.excludes(&namespace.name) {
        return None;
    }
    let request = InjectRequest::of(inject, namespace.asks).ok()??;
    select(&request, namespace, cluster, names).ok().map(|selected| selected.key)
}

/// Returns how a pod that belongs to `declared` stands to it.
///
/// A sidecar of a `TraceBuffer` that has mistakes is current: there is nothing newer to be had.
#[must_use]
pub fn standing(pod: &PodRecord, declared: &Declared) -> Standing {
    let injected = match &pod.status {
        Some(PodStatus::Injected(injected)) => injected,
        Some(PodStatus::Skipped { reason, message }) => {
            let cause = Cause::Skipped { reason: *reason, message: message.clone() };
            return Standing::Missing(cause);
        }
        None => return Standing::Missing(Cause::WebhookNotCalled),
    };
    match &declared.sidecar {
        Err(_) => Standing::Current,
        Ok(needs) => {
            changed(injected, &declared.uid, needs).map_or(Standing::Current, Standing::Outdated)
        }
    }
}

/// Another UID alone changes nothing: the sidecar is what a new pod would get.
fn changed(injected: &Injected, uid: &str, needs: &Needs) -> Option<Change> {
    if injected.hash != needs.hash {
        let recreated = injected.uid != uid;
        return Some(if recreated { Change::Recreated } else { Change::HashDiffers });
    }
    (needs.limits.max_bytes > injected.max_bytes).then_some(Change::NeedsMoreMemory)
}

impl PodCounts {
    /// Counts pods by their standing.
    pub fn of<'a>(standings: impl IntoIterator<Item = &'a Standing>) -> Self {
        let mut counts = Self::default();
        for standing in standings {
            counts.total += 1;
            match standing {
                Standing::Current => counts.current += 1,
                Standing::Outdated(_) => counts.outdated += 1,
                Standing::Missing(_) => counts.missing += 1,
            }
        }
        counts
    }
}

impl Cause {
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

impl Change {
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
