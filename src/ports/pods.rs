//! The pods of the cluster, and word of what changes in it.

use std::sync::Arc;

use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::pod_record::PodRecord;

/// The pods of the cluster that ask for a sidecar, have one, or were refused one; as far as known.
pub trait Pods: Send + Sync + 'static {
    /// Returns all of them, in any order.
    fn all(&self) -> Vec<Arc<PodRecord>>;

    /// Returns those of a namespace, by name.
    fn in_namespace(&self, namespace: &str) -> Vec<Arc<PodRecord>>;

    /// Returns those whose sidecar was made from `trace_buffer`, and those whose annotation names it
    /// in full; in any namespace, by name.
    fn using(&self, trace_buffer: &ObjectKey) -> Vec<Arc<PodRecord>>;

    /// Returns whether the namespace's label asks for a sidecar in every pod.
    fn namespace_asks(&self, namespace: &str) -> bool;
}

/// Hears what changed.
pub trait Changes: Send + Sync + 'static {
    /// A `TraceBuffer` appeared, changed or went.
    fn trace_buffer(&self, key: &ObjectKey);

    /// A pod appeared, changed or went; `pod` is its last state.
    fn pod(&self, pod: &PodRecord);

    /// Whatever was missed: everything is to be looked at again.
    fn everything(&self);
}
