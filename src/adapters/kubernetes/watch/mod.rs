//! What the operator knows of the cluster, kept current by watches that survive whatever the API
//! server does: expired history, silence, errors and outages.

mod follow;
mod health;
mod meta;
mod mirror;
mod namespaces;
mod pods;
mod record;
mod trace_buffers;
mod trouble;
mod version;

pub use pods::PodIndex;
pub use trace_buffers::{Entry, TraceBufferCache};
pub use version::NativeSidecars;
