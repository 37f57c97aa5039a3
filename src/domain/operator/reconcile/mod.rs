//! Operating a `TraceBuffer`: how its pods stand, what is said about it, and what is restarted when.

pub mod conditions;
pub mod rollout;
pub mod sidecar_state;
pub mod trace_buffer_snapshot;
pub mod trace_buffer_status;
pub mod workload_event;
