//! The pods of the cluster, and word of what changes in it.

use std::sync::Arc;

use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::object_key::ObjectKey;

/// The pods of the cluster that ask for a sidecar, have one, or were refused one; as far as known.
pub trait PodLister: Send + Sync + 'static {
    /// Returns all of them, in any order.
    fn all(&self) -> Vec<Arc<PodSnapshot>>;

    /// Returns those of a namespace, by name.
    fn in_namespace(&self, namespace: &str) -> Vec<Arc<PodSnapshot>>;

    /// Returns those whose sidecar was made from `trace_buffer`, those whose annotation names it in
    /// full, and those of the namespaces that name it; in any namespace, by name.
    fn referencing(&self, trace_buffer: &ObjectKey) -> Vec<Arc<PodSnapshot>>;

    /// Returns what is known of a namespace; only its name if that is all.
    fn namespace(&self, name: &str) -> Arc<NamespaceFacts>;
}

/// Hears what changed.
pub trait ChangeHandler: Send + Sync + 'static {
    /// A `TraceBuffer` appeared, changed or went.
    fn trace_buffer_changed(&self, key: &ObjectKey);

    /// A `TraceBuffer` has a new resource version, but the same spec: its status or its metadata
    /// changed.
    fn trace_buffer_status_changed(&self, key: &ObjectKey);

    /// A pod appeared, changed or went; `pod` is its last state.
    fn pod_changed(&self, pod: &PodSnapshot);

    /// A namespace appeared, went, or has other labels or annotations of ours.
    fn namespace_changed(&self, name: &str);

    /// Whatever was missed: everything is to be looked at again.
    fn resync(&self);
}
