//! The recorded decision for a pod: the annotation `tracebuffer.dev/status`.

use super::skip::SkipReason;
use crate::domain::operator::object_key::ObjectKey;

/// The decision of the webhook for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InjectionStatus {
    /// The pod got a sidecar.
    Injected(InjectedSidecar),
    /// The pod was skipped.
    Skipped {
        /// The reason.
        reason: SkipReason,
        /// The message for people, with the names of objects.
        message: String,
    },
}

/// The sidecar that a pod got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectedSidecar {
    /// The `TraceBuffer` it was made from.
    pub trace_buffer: ObjectKey,
    /// The UID of that `TraceBuffer`, which differs from that of a later one with the same name.
    pub uid: String,
    /// The hash of the configuration that takes effect in new pods only.
    pub hash: String,
    /// The `maxBytes`, in bytes, that its memory limit was derived from; live limits never exceed it.
    pub max_bytes: u64,
    /// Whether the environment of a container keeps its traces from the sidecar.
    pub is_bypassed: bool,
    /// What the author of the pod should know, each for people.
    pub warnings: Vec<String>,
}
