//! What was decided for a pod, as the pod itself tells: the annotation `tracebuffer.dev/status`.

use super::skip::SkipReason;
use crate::domain::operator::object_key::ObjectKey;

/// What the webhook decided for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InjectionStatus {
    /// It got a sidecar.
    Injected(InjectedSidecar),
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
pub struct InjectedSidecar {
    /// The `TraceBuffer` it was made from.
    pub trace_buffer: ObjectKey,
    /// That object's UID, which tells it from a later one of the same name.
    pub uid: String,
    /// The digest of what only a new pod can take up.
    pub hash: String,
    /// The most bytes its memory was made for; running limits never exceed it.
    pub max_bytes: u64,
}
