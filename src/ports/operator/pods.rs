//! Read access to the pods of the cluster, and notifications of changes.

use std::sync::Arc;

use crate::domain::final_ledger::FinalLedger;
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::managed_pod::SidecarFailure;

/// The known pods of the cluster that ask for a sidecar, have one, or were skipped.
pub trait PodLister: Send + Sync + 'static {
    /// Returns all pods, in any order.
    fn all(&self) -> Vec<Arc<PodSnapshot>>;

    /// Returns the pods of `namespace`, ordered by name.
    fn in_namespace(&self, namespace: &str) -> Vec<Arc<PodSnapshot>>;

    /// Returns the pods of all namespaces whose sidecar was made from `trace_buffer`, whose annotation
    /// names it with its namespace, or whose namespace names it; ordered by namespace and name.
    fn referencing(&self, trace_buffer: &ObjectKey) -> Vec<Arc<PodSnapshot>>;

    /// Returns why the sidecar of `pod` does not run; `None` while it runs or starts.
    fn sidecar_failure(&self, pod: &PodSnapshot) -> Option<Arc<SidecarFailure>>;

    /// Returns what is known of a namespace, at least its name.
    fn namespace(&self, name: &str) -> Arc<NamespaceFacts>;
}

/// Is notified of changes in the cluster.
pub trait ChangeHandler: Send + Sync + 'static {
    /// A `TraceBuffer` was created, changed or deleted.
    fn trace_buffer_changed(&self, key: &ObjectKey);

    /// A `TraceBuffer` has a new resource version but the same spec: only its status or its metadata
    /// changed.
    fn trace_buffer_status_changed(&self, key: &ObjectKey);

    /// A pod was created or deleted, a field of its snapshot changed, or its sidecar began or ceased to
    /// fail. `pod` is its last state.
    fn pod_changed(&self, pod: &PodSnapshot);

    /// The sidecar of a pod has ended, and some spans that it got were never delivered.
    fn spans_lost(&self, pod: &PodSnapshot, ledger: &FinalLedger);

    /// A namespace was created or deleted, or one of its `tracebuffer.dev` labels or annotations
    /// changed.
    fn namespace_changed(&self, name: &str);

    /// Changes may have been missed: everything has to be reconciled again.
    fn resync(&self);
}
