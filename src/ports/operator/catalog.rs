//! The `TraceBuffer`s and namespaces of the cluster.

use std::future::Future;
use std::sync::Arc;

use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::injection::trace_buffer_view::{SidecarTemplate, TraceBufferLister};

/// The `TraceBuffer`s and namespaces of the cluster, as far as they are known.
pub trait Catalog:
    TraceBufferLister<Sidecar: SidecarTemplate + Send + Sync> + Send + Sync + 'static
{
    /// Lists a namespace's `TraceBuffer`s from the API server, and knows them when it ends: for a pod
    /// that comes right after its `TraceBuffer`. Takes a second at most.
    ///
    /// # Errors
    ///
    /// [`UnknownNamespace`] where they cannot be learnt: there may be one that the pod is meant for.
    fn refresh(&self, namespace: &str)
    -> impl Future<Output = Result<(), UnknownNamespace>> + Send;

    /// Returns a namespace: the one that is known, or else from the API server. Takes a second at
    /// most.
    ///
    /// # Errors
    ///
    /// [`UnknownNamespace`] if it cannot be read, since the `TraceBuffer` that it names is unknown.
    fn namespace(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Arc<NamespaceFacts>, UnknownNamespace>> + Send;
}

/// A namespace, or what is in it, could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownNamespace(
    /// Why, and what to do.
    pub String,
);
