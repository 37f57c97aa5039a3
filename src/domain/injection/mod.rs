//! Whether a pod gets a sidecar, from which [`TraceBuffer`](candidate::Candidate), and why not.

pub mod candidate;
pub mod skip;
