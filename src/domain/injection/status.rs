//! What was decided for a pod, as the pod itself tells: the annotation `tracebuffer.dev/status`.

use super::candidate::ObjectKey;
use super::skip::SkipReason;

/// What the webhook decided for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodStatus {
    /// It got a sidecar.
    Injected(Injected),
    /// It got none.
    Skipped {
        /// Why.
        reason: SkipReason,
        /// The same for people, with names.
        message: String,
    },
}

/// The sidecar a pod got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// The `TraceBuffer` it was made from.
    pub trace_buffer: ObjectKey,
    /// That object's UID, which tells it from a later one of the same name.
    pub uid: String,
    /// The digest of what only a new pod can take up.
    pub hash: String,
    /// The most bytes its memory was made for; running limits never exceed it.
    pub max_bytes: u64,
}
