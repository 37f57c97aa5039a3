//! What the operator knows of the cluster, kept current by watches that survive whatever the API
//! server does: expired history, silence, errors and outages.

mod catalog;
mod follow;
mod health;
mod meta;
mod mirror;
mod namespaces;
mod pods;
mod record;
mod trace_buffers;
mod trouble;

pub use catalog::ClusterCatalog;
pub use namespaces::NamespaceIndex;
pub use pods::PodIndex;
pub use trace_buffers::{Entry, TraceBufferCache};
