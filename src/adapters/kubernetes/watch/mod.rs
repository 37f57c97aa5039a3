//! What the operator knows of the cluster, kept current by watches that survive whatever the API
//! server does: expired history, silence, errors and outages.

mod catalog;
mod failure;
mod health;
mod meta;
mod namespaces;
mod object_cache;
mod pod_snapshot;
mod pods;
mod resilient_watch;
mod trace_buffers;

pub(super) use pod_snapshot::pod_snapshot;
pub(super) use pods::ACTIVE_PODS;

pub use catalog::ClusterCatalog;
pub use namespaces::NamespaceCache;
pub use pods::PodCache;
pub use trace_buffers::{CachedTraceBuffer, TraceBufferCache};
