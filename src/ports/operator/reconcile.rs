//! What reconciling tells those who watch it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::trace_buffer_status::PodCounts;

/// How one look at something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileOutcome {
    /// All is as it should be.
    Done,
    /// Somebody else wrote in the meantime; it is tried again.
    Conflict,
    /// It failed and is tried again.
    Failed,
}

/// Counts what the controller does and finds.
pub trait ReconcileMonitor: Send + Sync + 'static {
    /// Something was reconciled, which took this long.
    fn reconciled(&self, outcome: ReconcileOutcome, took: Duration);

    /// The pods of a `TraceBuffer` are these; `None` when it is gone.
    fn pod_counts(&self, trace_buffer: &ObjectKey, counts: Option<PodCounts>);

    /// The pods that ask for a sidecar and have none are as many, by the word for the cause. Causes
    /// that are left out have none.
    fn missing_pods(&self, pods: &BTreeMap<&'static str, u64>);

    /// This replica no longer reconciles: the counts reported so far may be outdated from now on and
    /// must not be shown any more.
    fn leadership_lost(&self);
}
