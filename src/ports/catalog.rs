//! The `TraceBuffer`s of the cluster.

use std::future::Future;
use std::sync::Arc;

use crate::domain::injection::candidate::{Candidate, ObjectKey};

/// The `TraceBuffer`s of the cluster, as far as they are known.
pub trait Catalog: Send + Sync + 'static {
    /// What a sidecar is made from.
    type Sidecar: Send + Sync + 'static;

    /// Returns the one of this name, without waiting.
    fn get(&self, key: &ObjectKey) -> Option<Arc<Candidate<Self::Sidecar>>>;

    /// Returns those of a namespace, by name, without waiting.
    fn in_namespace(&self, namespace: &str) -> Vec<Arc<Candidate<Self::Sidecar>>>;

    /// Asks the API server for those of a namespace, and knows them when it ends: for a pod that
    /// comes right after its `TraceBuffer`. Takes a second at most; what cannot be learnt stays
    /// unknown.
    fn refresh(&self, namespace: &str) -> impl Future<Output = ()> + Send;
}
