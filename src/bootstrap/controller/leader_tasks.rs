//! Tasks that only one replica performs, and the elections for them: one lease for the reconciler
//! and one for the certificate rotator. The leases are separate, so that during an upgrade to
//! another `certificates.mode` the leading replica never keeps the other from issuing certificates.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::{CertificateSource, ControllerContext};
use crate::adapters::clock::{SystemWallClock, TokioClock};
use crate::adapters::kubernetes::certificates::RcgenIssuer;
use crate::adapters::kubernetes::controller::KubeCluster;
use crate::adapters::kubernetes::lease::KubeLeaseStore;
use crate::application::operator::elect::LeaderElector;
use crate::application::operator::publish_authorities::AuthorityPublisher;
use crate::application::operator::reconcile::{ReconcileContext, Reconciler};
use crate::application::operator::rotate_certificates::CertificateRotator;
use crate::domain::operator::lease::ElectionTimings;

/// The tasks of this replica that depend on leadership, and the elections.
pub(super) struct LeaderTasks {
    /// The tasks that write to the cluster.
    writers: JoinSet<()>,
    reconciling: ElectionTask,
    certificates: Option<ElectionTask>,
}

/// This replica's candidacy for one lease.
struct ElectionTask {
    is_leading: watch::Receiver<bool>,
    task: tokio::task::JoinHandle<()>,
    resign: oneshot::Sender<()>,
}

impl LeaderTasks {
    pub(super) fn start(context: &ControllerContext) -> Self {
        let mut writers = JoinSet::new();
        let reconciling = ElectionTask::start(context, &context.settings.lease_name);
        start_reconciler(context, reconciling.is_leading.clone(), &mut writers);
        let certificates = start_certificates(context, &mut writers);
        Self { writers, reconciling, certificates }
    }

    /// Returns whether this replica is the one that reconciles, and its changes.
    pub(super) fn is_leading(&self) -> watch::Receiver<bool> {
        self.reconciling.is_leading.clone()
    }

    /// Stops writing, then releases the leases.
    pub(super) async fn shut_down(mut self) {
        self.writers.shutdown().await;
        let certificates = async {
            if let Some(election) = self.certificates {
                election.shut_down().await;
            }
        };
        tokio::join!(self.reconciling.shut_down(), certificates);
    }
}

impl ElectionTask {
    fn start(context: &ControllerContext, lease: &str) -> Self {
        let settings = &context.settings;
        let store = KubeLeaseStore::new(context.client.clone(), &settings.namespace, lease);
        // A container restarted in the same pod must not take its predecessor's lease for its own.
        let identity = format!("{}_{:016x}", settings.pod_name, random());
        let elector = LeaderElector::new(
            Arc::new(store),
            Arc::new(TokioClock::new()),
            identity,
            ElectionTimings::default(),
            random,
        );
        let is_leading = elector.is_leading();
        let (resign, resigned) = oneshot::channel();
        let task = tokio::spawn(async move {
            elector
                .run(async {
                    // Resign if the sender sends or is dropped.
                    let _ = resigned.await;
                })
                .await;
        });
        Self { is_leading, task, resign }
    }

    async fn shut_down(self) {
        // Fails only if the task has ended, and then there is nothing to resign from.
        let _ = self.resign.send(());
        let _ = self.task.await;
    }
}

fn start_reconciler(
    context: &ControllerContext,
    leading: watch::Receiver<bool>,
    writers: &mut JoinSet<()>,
) {
    let settings = &context.settings;
    let cluster = KubeCluster::new(
        context.client.clone(),
        Arc::clone(&context.trace_buffers),
        Arc::clone(&context.pods),
        settings.verify_references,
        &settings.pod_name,
    );
    let reconciler = Reconciler::new(ReconcileContext {
        cluster: Arc::new(cluster),
        pods: Arc::clone(&context.pods),
        queue: Arc::clone(&context.queue),
        monitor: context.metrics.clone(),
        facts: settings.cluster_facts(),
        random,
    });
    writers.spawn(async move { reconciler.run(leading).await });
}

/// Starts the certificate task of this `certificates.mode`, if any; only issuing needs an election.
fn start_certificates(
    context: &ControllerContext,
    writers: &mut JoinSet<()>,
) -> Option<ElectionTask> {
    let webhook = &context.settings.webhook;
    let (objects, metrics) = (&context.certificate_store, &context.metrics);
    let (issuer, changes) = (RcgenIssuer::new(&webhook.host), context.certificates.changes());
    match webhook.certificates {
        CertificateSource::SelfManaged => {
            let election = ElectionTask::start(context, &webhook.certificate_lease_name);
            let leading = election.is_leading.clone();
            let clocks = (TokioClock::new(), SystemWallClock);
            let served = context.certificates.served();
            let rotator = CertificateRotator::new(
                issuer,
                objects.clone(),
                Arc::clone(metrics),
                clocks,
                move || served.is_trusted(),
                random,
            );
            writers.spawn(async move { rotator.run(leading, changes).await });
            Some(election)
        }
        CertificateSource::ExistingSecret => {
            let (metrics, clock) = (Arc::clone(metrics), TokioClock::new());
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
