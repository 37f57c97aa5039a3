//! Kubernetes: the `TraceBuffer` resource, the sidecar it describes, the webhook and the controller.

pub mod lease;
pub mod names;
pub mod resource;
pub mod sidecar;
pub mod watch;
