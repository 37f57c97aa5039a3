//! What one replica does for all, and the races for it: a lease for the reconciler, and one for
//! whoever makes certificates. They are apart, so that an operator of another `certificates.mode`,
//! as there is during an upgrade, never keeps the certificates from being made.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::{CertificateSource, ControllerContext};
use crate::adapters::clock::{SystemClock, SystemWallClock};
use crate::adapters::kubernetes::certificates::RcgenIssuer;
use crate::adapters::kubernetes::controller::KubeCluster;
use crate::adapters::kubernetes::lease::KubeLeaseStore;
use crate::application::operator::elect::LeaderElector;
use crate::application::operator::publish_authorities::AuthorityPublisher;
use crate::application::operator::reconcile::{ReconcileContext, Reconciler};
use crate::application::operator::rotate_certificates::CertificateRotator;
use crate::domain::operator::lease::LeaseTimes;

/// What this replica does while it leads, and what it does anyway.
pub(super) struct LeaderTasks {
    /// What writes.
    writers: JoinSet<()>,
    reconciling: ElectionTask,
    certificates: Option<ElectionTask>,
}

/// This replica in the race for a lease.
struct ElectionTask {
    is_leading: watch::Receiver<bool>,
    task: tokio::task::JoinHandle<()>,
    resign: oneshot::Sender<()>,
}

impl LeaderTasks {
    pub(super) fn start(foundation: &ControllerContext) -> Self {
        let mut writers = JoinSet::new();
        let reconciling = ElectionTask::start(foundation, &foundation.settings.lease_name);
        start_reconciler(foundation, reconciling.is_leading.clone(), &mut writers);
        let certificates = start_certificates(foundation, &mut writers);
        Self { writers, reconciling, certificates }
    }

    /// Whether it is this replica that reconciles.
    pub(super) fn is_leading(&self) -> watch::Receiver<bool> {
        self.reconciling.is_leading.clone()
    }

    /// Stops writing, then gives the leases back.
    pub(super) async fn shut_down(mut self) {
        self.writers.shutdown().await;
        let certificates = async {
            if let Some(candidacy) = self.certificates {
                candidacy.shut_down().await;
            }
        };
        tokio::join!(self.reconciling.shut_down(), certificates);
    }
}

impl ElectionTask {
    fn start(foundation: &ControllerContext, lease: &str) -> Self {
        let settings = &foundation.settings;
        let store = KubeLeaseStore::new(foundation.client.clone(), &settings.namespace, lease);
        // A container that is started anew in the same pod is another candidate.
        let identity = format!("{}_{:016x}", settings.pod_name, random());
        let candidate = LeaderElector::new(
            Arc::new(store),
            Arc::new(SystemClock::new()),
            identity,
            LeaseTimes::default(),
            random,
        );
        let is_leading = candidate.is_leading();
        let (resign, resigned) = oneshot::channel();
        let running = tokio::spawn(async move {
            candidate
                .run(async {
                    // Dropped or sent, it is over.
                    let _ = resigned.await;
                })
                .await;
        });
        Self { is_leading, task: running, resign }
    }

    async fn shut_down(self) {
        // It cannot have ended before.
        let _ = self.resign.send(());
        let _ = self.task.await;
    }
}

fn start_reconciler(
    foundation: &ControllerContext,
    leading: watch::Receiver<bool>,
    writers: &mut JoinSet<()>,
) {
    let settings = &foundation.settings;
    let cluster = KubeCluster::new(
        foundation.client.clone(),
        Arc::clone(&foundation.trace_buffers),
        Arc::clone(&foundation.pods),
        settings.verify_references,
        &settings.pod_name,
    );
    let reconciler = Reconciler::new(ReconcileContext {
        cluster: Arc::new(cluster),
        pods: Arc::clone(&foundation.pods),
        queue: Arc::clone(&foundation.queue),
        monitor: foundation.metrics.clone(),
        facts: settings.cluster_facts(),
        random,
    });
    writers.spawn(async move { reconciler.run(leading).await });
}

/// Does for the webhook's certificates what nobody else does; races for it where one must.
fn start_certificates(
    foundation: &ControllerContext,
    writers: &mut JoinSet<()>,
) -> Option<ElectionTask> {
    let webhook = &foundation.settings.webhook;
    let (objects, metrics) = (&foundation.certificate_store, &foundation.metrics);
    let (issuer, changes) = (RcgenIssuer::new(&webhook.host), foundation.certificates.changes());
    match webhook.certificates {
        CertificateSource::SelfManaged => {
            let candidacy = ElectionTask::start(foundation, &webhook.certificate_lease_name);
            let leading = candidacy.is_leading.clone();
            let clocks = (SystemClock::new(), SystemWallClock);
            let keeper = CertificateRotator::new(
                issuer,
                objects.clone(),
                Arc::clone(metrics),
                clocks,
                random,
            );
            writers.spawn(async move { keeper.run(leading, changes).await });
            Some(candidacy)
        }
        CertificateSource::ExistingSecret => {
            let (metrics, clock) = (Arc::clone(metrics), SystemClock::new());
            let publisher =
                AuthorityPublisher::new(issuer, objects.clone(), metrics, clock, random);
            writers.spawn(async move { publisher.run(changes).await });
            None
        }
        CertificateSource::CertManager => None,
    }
}

fn random() -> u64 {
    fastrand::u64(..)
}
