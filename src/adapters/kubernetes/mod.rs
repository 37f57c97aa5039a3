//! Kubernetes: the `TraceBuffer` resource, the sidecar it describes, the webhook and the controller.

pub mod analysis;
pub mod audiences;
mod call;
pub mod certificates;
pub mod controller;
pub mod diagnosis;
pub mod lease;
pub mod manifest;
pub mod names;
pub mod namespace;
pub mod pod;
pub mod resource;
pub mod sidecar;
mod version;
pub mod watch;
pub mod webhook;
