//! The decision whether a pod gets a sidecar, and of which `TraceBuffer`.

pub mod consent;
pub mod decide;
pub mod facts;
pub mod pod_snapshot;
pub mod request;
pub mod select;
pub mod skip;
pub mod status;
pub mod trace_buffer_view;
