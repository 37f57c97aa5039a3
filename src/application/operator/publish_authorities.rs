//! Publishes the authorities of a certificate that is issued and renewed outside of the operator.
//!
//! Every replica publishes, without a leader: each adds the authorities that its own certificate
//! needs, and keeps those that others published for a while. So a replica that reads an outdated
//! Secret cannot make the others untrusted.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::info;

use super::certificate_loop::{
    CertificateLoop, CertificateTask, RunOutcome, UnchangedSince, require_publication,
    unchanged_for,
};
use crate::domain::operator::ca_publication::{self, PublicationAction, PublicationObservation};
use crate::domain::operator::rotation::MAX_POLL_INTERVAL;
use crate::ports::clock::MonotonicClock;
use crate::ports::operator::certificates::{
    AssignedPublisher, CaBundles, CertificateMonitor, CertificateStore, Publication, StoreError,
};

/// The use case; every replica runs it.
pub struct AuthorityPublisher<B, S, M, C> {
    bundles: B,
    store: S,
    certificate_loop: CertificateLoop<M>,
    clock: C,
}

/// What this replica has observed.
#[derive(Default)]
pub(super) struct PublicationHistory {
    /// The authorities that every entry contains.
    published: Option<UnchangedSince<Vec<u8>>>,
}

impl<B, S, M, C> AuthorityPublisher<B, S, M, C>
where
    B: CaBundles,
    S: CertificateStore,
    M: CertificateMonitor,
    C: MonotonicClock,
{
    /// Creates the use case. `random` returns a new random number at each call.
    #[must_use]
    pub fn new(bundles: B, store: S, monitor: Arc<M>, clock: C, random: fn() -> u64) -> Self {
        Self { bundles, store, certificate_loop: CertificateLoop { monitor, random }, clock }
    }

    /// Publishes until it is cancelled.
    ///
    /// `changes` is a counter that increases with every change of the Secret or the publication.
    /// Without a change both are read every ten minutes.
    pub async fn run(&self, changes: watch::Receiver<u64>) {
        let always = watch::Sender::new(true);
        self.certificate_loop.run(self, always.subscribe(), changes).await;
    }

    /// Returns the authorities of the supplied certificate.
    async fn read_authorities(&self) -> Result<Vec<u8>, StoreError> {
        let location = self.store.tls_location();
        let Some(tls) = self.store.read_tls().await? else {
            return Err(StoreError::Failed(format!(
                "there is no {location}: create it, or correct certificates.secretName"
            )));
        };
        let supplied = self.bundles.merge(&tls.value.bundle, &[]);
        if supplied.is_empty() {
            return Err(StoreError::Failed(format!(
                "{location} has no authority: add it as ca.crt, or set certificates.caBundle"
            )));
        }
        Ok(supplied)
    }

    fn update_history(
        &self,
        history: &mut PublicationHistory,
        published: &Publication,
        supplied: &[u8],
        merged: &[u8],
    ) -> PublicationObservation {
        let is_complete = |bundle: &Vec<u8>| self.bundles.contains(bundle, merged);
        let is_published = !published.published_by_other
            && !published.bundles.is_empty()
            && published.bundles.iter().all(is_complete);
        let complete = is_published.then(|| merged.to_vec());
        PublicationObservation {
            is_published,
            has_old_authorities: merged != supplied,
            unchanged_for: unchanged_for(&mut history.published, complete, self.clock.now()),
        }
    }
}

impl<B, S, M, C> CertificateTask for AuthorityPublisher<B, S, M, C>
where
    B: CaBundles,
    S: CertificateStore,
    M: CertificateMonitor,
    C: MonotonicClock,
{
    type History = PublicationHistory;

    async fn run_once(&self, history: &mut PublicationHistory) -> Result<RunOutcome, StoreError> {
        let published = require_publication(&self.store).await?;
        if published.value.assigned_publisher == AssignedPublisher::Other {
            *history = PublicationHistory::default();
            return Ok(RunOutcome::Wait(MAX_POLL_INTERVAL));
        }
        let supplied = self.read_authorities().await?;
        let merged = self.bundles.merge(&supplied, &published.value.bundles);
        let to = self.store.publication_location();
        let observation = self.update_history(history, &published.value, &supplied, &merged);
        match ca_publication::next_action(&observation) {
            PublicationAction::Wait(pause) => return Ok(RunOutcome::Wait(pause)),
            PublicationAction::PublishAll => {
                self.store.publish(&merged, &published).await?;
                info!(to, "published the webhook's certificate authorities");
            }
            PublicationAction::PruneOldAuthorities => {
                self.store.publish(&supplied, &published).await?;
                info!(to, "removed the webhook's old certificate authorities");
            }
        }
        Ok(RunOutcome::Wrote)
    }
}

#[cfg(test)]
mod tests;
