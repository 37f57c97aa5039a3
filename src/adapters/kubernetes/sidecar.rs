//! The sidecar that a `TraceBuffer` describes, whatever pod it is put into.

use k8s_openapi::api::core::v1::{Container, LocalObjectReference, Volume};

use crate::domain::injection::candidate::{SidecarMode, SidecarPorts};

/// Everything a sidecar is made from; built once for each change of its `TraceBuffer`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// The UID of the `TraceBuffer`; empty for one that is in no cluster.
    pub uid: String,
    /// How it stands in its pod.
    pub mode: SidecarMode,
    /// The ports it listens on.
    pub ports: SidecarPorts,
    /// The container, complete but for what its place in the pod decides: `restartPolicy`.
    pub container: Container,
    /// The volumes it mounts.
    pub volumes: Vec<Volume>,
    /// What its image is pulled with.
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// The endpoint that the application's containers are told, unless they set it; `None` leaves
    /// them alone.
    pub application_endpoint: Option<String>,
    /// Whether requests are set by the `TraceBuffer` rather than derived, and stay as they are.
    pub resources_are_given: bool,
    /// The limits it starts with, which running ones follow.
    pub limits: SidecarLimits,
    /// Longest time it takes to end, in whole seconds, rounded up.
    pub drain_seconds: u32,
    /// A digest of what a pod can take up only by being created anew; limits and the operator's own
    /// default image are no part of it.
    pub hash: String,
}

/// The limits of a sidecar's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SidecarLimits {
    /// Most spans.
    pub max_spans: u64,
    /// Most bytes.
    pub max_bytes: u64,
    /// Greatest age in milliseconds.
    pub max_age_ms: Option<u64>,
}
