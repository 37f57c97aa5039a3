//! Operating a `TraceBuffer`: how its pods stand, what is said about it, and what is restarted when.

pub mod conditions;
pub mod declared;
pub mod notice;
pub mod rollout;
pub mod standing;
