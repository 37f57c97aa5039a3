//! Reconciling a `TraceBuffer`: the state of its pods, its status and events, and the restarts that
//! a change requires.

pub mod conditions;
pub mod managed_pod;
pub mod rollout;
pub mod sidecar_state;
pub mod trace_buffer_snapshot;
pub mod trace_buffer_status;
pub mod workload_event;
