//! What the operator knows of the cluster, kept current by watches that survive whatever the API
//! server does: expired history, silence, errors and outages.

mod follow;
mod health;
mod meta;
mod mirror;
mod trace_buffers;
mod trouble;

pub use trace_buffers::{Build, Entry, TraceBufferCache};
