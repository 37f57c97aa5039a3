//! What one replica does for all, and the races for it: a lease for the reconciler, and one for
//! whoever makes certificates. They are apart, so that an operator of another `certificates.mode`,
//! as there is during an upgrade, never keeps the certificates from being made.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::{CertificateSource, Foundation};
use crate::adapters::clock::{SystemClock, SystemWallClock};
use crate::adapters::kubernetes::certificates::Authority;
use crate::adapters::kubernetes::controller::KubeCluster;
use crate::adapters::kubernetes::lease::KubernetesLease;
use crate::application::elect::Candidate;
use crate::application::keep_certificates::CertificateKeeper;
use crate::application::publish_authorities::AuthorityPublisher;
use crate::application::reconcile::{Parts, Reconciler};
use crate::domain::lease::LeaseTimes;

/// What this replica does while it leads, and what it does anyway.
pub(super) struct Duties {
    /// What writes.
    writers: JoinSet<()>,
    reconciling: Candidacy,
    certificates: Option<Candidacy>,
}

/// This replica in the race for a lease.
struct Candidacy {
    is_leading: watch::Receiver<bool>,
    running: tokio::task::JoinHandle<()>,
    resign: oneshot::Sender<()>,
}

impl Duties {
    pub(super) fn start(foundation: &Foundation) -> Self {
        let mut writers = JoinSet::new();
        let reconciling = Candidacy::start(foundation, &foundation.settings.lease_name);
        reconcile(foundation, reconciling.is_leading.clone(), &mut writers);
        let certificates = certificates(foundation, &mut writers);
        Self { writers, reconciling, certificates }
    }

    /// Whether it is this replica that reconciles.
    pub(super) fn is_leading(&self) -> watch::Receiver<bool> {
        self.reconciling.is_leading.clone()
    }

    /// Stops writing, then gives the leases back.
    pub(super) async fn end(mut self) {
        self.writers.shutdown().await;
        let certificates = async {
            if let Some(candidacy) = self.certificates {
                candidacy.end().await;
            }
        };
        tokio::join!(self.reconciling.end(), certificates);
    }
}

impl Candidacy {
    fn start(foundation: &Foundation, lease: &str) -> Self {
        let settings = &foundation.settings;
        let store = KubernetesLease::new(foundation.client.clone(), &settings.namespace, lease);
        // A container that is started anew in the same pod is another candidate.
        let identity = format!("{}_{:016x}", settings.pod_name, random());
        let candidate = Candidate::new(
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
        Self { is_leading, running, resign }
    }

    async fn end(self) {
        // It cannot have ended before.
        let _ = self.resign.send(());
        let _ = self.running.await;
    }
}

fn reconcile(foundation: &Foundation, leading: watch::Receiver<bool>, writers: &mut JoinSet<()>) {
    let settings = &foundation.settings;
    let cluster = KubeCluster::new(
        foundation.client.clone(),
        Arc::clone(&foundation.trace_buffers),
        Arc::clone(&foundation.pods),
        settings.verify_references,
        &settings.pod_name,
    );
    let reconciler = Reconciler::new(Parts {
        cluster: Arc::new(cluster),
        pods: Arc::clone(&foundation.pods),
        queue: Arc::clone(&foundation.queue),
        monitor: foundation.metrics.clone(),
        facts: settings.facts(),
        random,
    });
    writers.spawn(async move { reconciler.run(leading).await });
}

/// Does for the webhook's certificates what nobody else does; races for it where one must.
fn certificates(foundation: &Foundation, writers: &mut JoinSet<()>) -> Option<Candidacy> {
    let webhook = &foundation.settings.webhook;
    let (objects, metrics) = (&foundation.certificate_objects, &foundation.metrics);
    let (issuer, changes) = (Authority::new(&webhook.host), foundation.certificates.changes());
    match webhook.certificates {
        CertificateSource::Own => {
            let candidacy = Candidacy::start(foundation, &webhook.certificate_lease_name);
            let leading = candidacy.is_leading.clone();
            let clocks = (SystemClock::new(), SystemWallClock);
            let keeper = CertificateKeeper::new(
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
