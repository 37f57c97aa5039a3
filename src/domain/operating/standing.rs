//! How a pod stands to the `TraceBuffer` that it uses or asks for.

use super::declared::{Declared, Needs};
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::decide::{DEFAULT_NAME, Skip, Wanted, wanted};
use crate::domain::injection::pod_record::PodRecord;
use crate::domain::injection::request::InjectRequest;
use crate::domain::injection::skip::SkipReason;
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

/// What a pod without sidecar asks for, by the rules of the injection decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// For none, and its owner knows.
    Nothing,
    /// For something that has no meaning.
    Nonsense,
    /// For the one that counts in its namespace.
    Default,
    /// For this one.
    One(ObjectKey),
}

impl Asks {
    /// Returns what `pod` asks for.
    #[must_use]
    pub fn of(pod: &PodRecord, namespace_asks: bool) -> Self {
        if let Some(PodStatus::Skipped { reason, .. }) = &pod.status
            && !reason.is_surprising()
        {
            return Self::Nothing;
        }
        let Ok(request) = InjectRequest::of(pod.inject.as_deref(), namespace_asks) else {
            return Self::Nonsense;
        };
        match request.and_then(|request| wanted(&request, &pod.key.namespace)) {
            None => Self::Nothing,
            Some(Wanted::AllOf(_)) => Self::Default,
            Some(Wanted::One(key)) => Self::One(key),
        }
    }
}

/// Returns whether `pod` uses or asks for `trace_buffer`. `siblings` are the names of all
/// `TraceBuffer`s of that one's namespace.
#[must_use]
pub fn belongs(
    pod: &PodRecord,
    trace_buffer: &ObjectKey,
    namespace_asks: bool,
    siblings: &[String],
) -> bool {
    if let Some(PodStatus::Injected(injected)) = &pod.status {
        return injected.trace_buffer == *trace_buffer;
    }
    match Asks::of(pod, namespace_asks) {
        Asks::Nothing | Asks::Nonsense => false,
        Asks::One(key) => key == *trace_buffer,
        Asks::Default => {
            pod.key.namespace == trace_buffer.namespace
                && default_of(siblings) == Some(trace_buffer.name.as_str())
        }
    }
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

fn default_of(names: &[String]) -> Option<&str> {
    match names {
        [only] => Some(only),
        several => several.iter().map(String::as_str).find(|name| *name == DEFAULT_NAME),
    }
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
    /// Returns the cause for a pod of a namespace that is never touched; the webhook is not asked
    /// for it.
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
#[path = "standing_tests.rs"]
mod tests;
