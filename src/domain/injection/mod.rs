//! Whether a pod gets a sidecar, from which `TraceBuffer`, and why not.

pub mod candidate;
pub mod pod_record;
pub mod skip;
pub mod status;
