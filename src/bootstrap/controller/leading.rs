//! What only the leader does, and the race for it.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::Foundation;
use crate::adapters::clock::{SystemClock, SystemWallClock};
use crate::adapters::kubernetes::certificates::Authority;
use crate::adapters::kubernetes::controller::KubeCluster;
use crate::adapters::kubernetes::lease::KubernetesLease;
use crate::application::elect::Candidate;
use crate::application::keep_certificates::CertificateKeeper;
use crate::application::reconcile::{Parts, Reconciler};
use crate::domain::lease::LeaseTimes;

/// This replica's candidacy, and what it does while it leads.
pub(super) struct Leader {
    is_leading: watch::Receiver<bool>,
    /// What writes while it leads.
    duties: JoinSet<()>,
    candidacy: tokio::task::JoinHandle<()>,
    resign: oneshot::Sender<()>,
}

impl Leader {
    pub(super) fn start(foundation: &Foundation) -> Self {
        let settings = &foundation.settings;
        let store = KubernetesLease::new(
            foundation.client.clone(),
            &settings.namespace,
            &settings.lease_name,
        );
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
        let candidacy = tokio::spawn(async move {
            candidate
                .run(async {
                    // Dropped or sent, it is over.
                    let _ = resigned.await;
                })
                .await;
        });
        let mut duties = JoinSet::new();
        reconcile(foundation, is_leading.clone(), &mut duties);
        keep_certificates(foundation, is_leading.clone(), &mut duties);
        Self { is_leading, duties, candidacy, resign }
    }

    pub(super) fn is_leading(&self) -> watch::Receiver<bool> {
        self.is_leading.clone()
    }

    /// Stops writing, then gives the lease back.
    pub(super) async fn end(mut self) {
        self.duties.shutdown().await;
        // The candidacy cannot have ended before.
        let _ = self.resign.send(());
        let _ = self.candidacy.await;
    }
}

fn reconcile(foundation: &Foundation, leading: watch::Receiver<bool>, duties: &mut JoinSet<()>) {
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
    duties.spawn(async move { reconciler.run(leading).await });
}

/// Keeps the webhook's certificates, unless somebody else does.
fn keep_certificates(
    foundation: &Foundation,
    leading: watch::Receiver<bool>,
    duties: &mut JoinSet<()>,
) {
    let webhook = &foundation.settings.webhook;
    if webhook.certificate_dir.is_some() {
        return;
    }
    let keeper = CertificateKeeper::new(
        Authority::new(&webhook.host),
        foundation.certificate_objects.clone(),
        Arc::clone(&foundation.metrics),
        (SystemClock::new(), SystemWallClock),
        random,
    );
    let changes = foundation.certificates.changes();
    duties.spawn(async move { keeper.run(leading, changes).await });
}

fn random() -> u64 {
    fastrand::u64(..)
}
