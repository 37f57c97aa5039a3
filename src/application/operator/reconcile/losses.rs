//! Publishes what ended sidecars have lost. Best effort: their logs are authoritative.

use tracing::warn;

use super::LeaderSession;
use super::audit::{EVENTS_INTERVAL, MAX_EVENTS_PER_PASS};
use super::queue::ReconcileAction;
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::ports::operator::cluster::Cluster;
use crate::ports::operator::pods::PodLister;

impl<C: Cluster, P: PodLister> LeaderSession<C, P> {
    /// Publishes the losses that wait, a limited number at a time. One that cannot be published is
    /// not tried again.
    pub(super) async fn publish_losses(&self) -> ReconcileAction {
        let losses = self.context.queue.take_losses(MAX_EVENTS_PER_PASS);
        for (pod, ledger) in &losses {
            let event = WorkloadEvent::spans_lost(pod, ledger);
            if let Err(error) = self.publish_pod_event(pod, &event).await {
                warn!(pod = %pod.key, %error, "cannot publish what a sidecar has lost; its log has it");
            }
        }
        if losses.is_empty() {
            ReconcileAction::AwaitChange
        } else {
            ReconcileAction::RequeueAfter(EVENTS_INTERVAL)
        }
    }
}
