//! What the operator knows of the cluster, kept current by watches that survive whatever the API
//! server does: expired history, silence, errors and outages.

mod catalog;
mod failure;
mod health;
mod meta;
mod namespaces;
mod object_cache;
mod object_watch;
mod pod_snapshot;
mod pods;
mod resilient_watch;
mod trace_buffers;

pub use catalog::ClusterCatalog;
pub(super) use failure::RbacRule;
pub use namespaces::NamespaceCache;
pub(super) use object_watch::{WatchedObject, watch_object};
pub use pods::PodCache;
pub use trace_buffers::{CachedTraceBuffer, TraceBufferCache};
