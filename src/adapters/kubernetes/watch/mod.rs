//! Caches of cluster state, kept current by watches that recover from expired history, unanswered
//! requests, errors and outages of the API server.

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
mod sidecars;
mod trace_buffers;
mod webhook;

pub(super) use pod_snapshot::pod_snapshot;
pub(super) use pods::ACTIVE_PODS;

pub use catalog::ClusterCatalog;
pub(super) use failure::RbacRule;
pub use namespaces::NamespaceCache;
pub(super) use object_watch::{WatchedObject, watch_object};
pub use pods::PodCache;
pub use trace_buffers::{CachedTraceBuffer, TraceBufferCache};
pub use webhook::{WebhookObjectNames, WebhookWatch};
