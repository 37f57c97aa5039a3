//! Measurements of the reconciler.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::trace_buffer_status::PodCounts;

/// The outcome of one reconciliation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileOutcome {
    /// The actual state matches the desired state.
    Done,
    /// An object was changed in the meantime; the item is retried.
    Conflict,
    /// The reconciliation failed; the item is retried.
    Failed,
}

/// Counts what the reconciler does and finds.
pub trait ReconcileMonitor: Send + Sync + 'static {
    /// An item was reconciled with this outcome, within `elapsed`.
    fn reconciled(&self, outcome: ReconcileOutcome, elapsed: Duration);

    /// A `TraceBuffer` has these pods; `None` if it was deleted.
    fn pod_counts(&self, trace_buffer: &ObjectKey, counts: Option<PodCounts>);

    /// The number of pods without the sidecar they ask for, by reason. A reason that is left out has
    /// no pods.
    fn missing_pods(&self, pods: &BTreeMap<&'static str, u64>);

    /// This replica no longer reconciles: the counts reported so far may be outdated from now on and
    /// must not be shown any more.
    fn leadership_lost(&self);
}
