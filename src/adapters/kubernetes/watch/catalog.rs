//! The cluster state that the webhook decides by.

use std::sync::Arc;

use super::{NamespaceCache, TraceBufferCache};
use crate::adapters::kubernetes::sidecar::Sidecar;
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::injection::trace_buffer_view::{TraceBufferLister, TraceBufferView};
use crate::domain::operator::object_key::ObjectKey;
use crate::ports::operator::catalog::{Catalog, UnknownNamespace};

/// Reads `TraceBuffer`s and namespaces from caches that are kept current elsewhere.
pub struct ClusterCatalog {
    /// The `TraceBuffer`s.
    pub trace_buffers: Arc<TraceBufferCache>,
    /// The namespaces.
    pub namespaces: Arc<NamespaceCache>,
}

impl TraceBufferLister for ClusterCatalog {
    type Sidecar = Sidecar;

    fn get(&self, key: &ObjectKey) -> Option<Arc<TraceBufferView<Sidecar>>> {
        self.trace_buffers.get(key)
    }

    fn names_in(&self, namespace: &str) -> Vec<String> {
        self.trace_buffers.names_in(namespace)
    }
}

impl Catalog for ClusterCatalog {
    async fn refresh(&self, namespace: &str) -> Result<(), UnknownNamespace> {
        self.trace_buffers.refresh(namespace).await
    }

    async fn namespace(&self, name: &str) -> Result<Arc<NamespaceFacts>, UnknownNamespace> {
        self.namespaces.look_up(name).await
    }
}
