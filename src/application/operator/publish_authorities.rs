//! Publishes the authorities of a certificate that somebody else makes and renews.
//!
//! Every replica does so, without a leader: none takes away at once what another has published, and
//! what each adds is what it needs to be asked itself. So one that was told something older than the
//! others cannot hold them up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;

use super::certificate_loop::{
    CertificateLoop, CertificateTask, UnchangedSince, require_publication, unchanged_for,
};
use crate::domain::operator::ca_publication::{self, PublicationAction, PublicationObservation};
use crate::domain::operator::rotation::MAX_POLL_INTERVAL;
use crate::ports::clock::Clock;
use crate::ports::operator::certificates::{
    AssignedPublisher, CaBundles, CertificateMonitor, CertificateStore, Publication, StoreError,
    Versioned,
};

/// The use case; every replica runs it.
pub struct AuthorityPublisher<B, S, M, C> {
    bundles: B,
    store: S,
    certificate_loop: CertificateLoop<M>,
    clock: C,
}

/// What this replica has seen.
#[derive(Default)]
pub(super) struct PublicationHistory {
    /// What every entry has held.
    published: Option<UnchangedSince<Vec<u8>>>,
}

impl<B, S, M, C> AuthorityPublisher<B, S, M, C>
where
    B: CaBundles,
    S: CertificateStore,
    M: CertificateMonitor,
    C: Clock,
{
    /// Creates the use case. `random` gives a fresh random number at each call.
    #[must_use]
    pub fn new(bundles: B, store: S, monitor: Arc<M>, clock: C, random: fn() -> u64) -> Self {
        Self { bundles, store, certificate_loop: CertificateLoop { monitor, random }, clock }
    }

    /// Publishes for ever.
    ///
    /// `changes` is a counter that rises with every change of what is given or published. Without
    /// one it looks again every ten minutes.
    pub async fn run(&self, changes: watch::Receiver<u64>) {
        let always = watch::Sender::new(true);
        self.certificate_loop.run(self, always.subscribe(), changes).await;
    }

    /// Returns the authorities that are given.
    async fn read_authorities(&self) -> Result<Vec<u8>, StoreError> {
        let keeper = self.store.tls_location();
        let Some(keyring) = self.store.read_tls().await? else {
            return Err(StoreError::Failed(format!(
                "there is no {keeper}: create it, or correct certificates.secretName"
            )));
        };
        let given = self.bundles.merge(&keyring.value.bundle, &[]);
        if given.is_empty() {
            return Err(StoreError::Failed(format!(
                "{keeper} has no authority: put it there as ca.crt, or set certificates.caBundle"
            )));
        }
        Ok(given)
    }

    fn update_history(
        &self,
        memory: &mut PublicationHistory,
        published: &Publication,
        given: &[u8],
        all: &[u8],
    ) -> PublicationObservation {
        let is_complete = |bundle: &Vec<u8>| self.bundles.contains(bundle, all);
        let is_published = !published.published_by_other
            && !published.bundles.is_empty()
            && published.bundles.iter().all(is_complete);
        let known = is_published.then(|| all.to_vec());
        PublicationObservation {
            is_published,
            has_old_authorities: all != given,
            unchanged_for: unchanged_for(&mut memory.published, known, self.clock.now()),
        }
    }

    async fn publish(
        &self,
        bundle: &[u8],
        published: &Versioned<Publication>,
    ) -> Result<Duration, StoreError> {
        self.store.publish(bundle, published).await?;
        Ok(Duration::ZERO)
    }
}

impl<B, S, M, C> CertificateTask for AuthorityPublisher<B, S, M, C>
where
    B: CaBundles,
    S: CertificateStore,
    M: CertificateMonitor,
    C: Clock,
{
    type History = PublicationHistory;

    async fn run_once(&self, memory: &mut PublicationHistory) -> Result<Duration, StoreError> {
        let published = require_publication(&self.store).await?;
        if published.value.assigned_publisher == AssignedPublisher::Other {
            *memory = PublicationHistory::default();
            return Ok(MAX_POLL_INTERVAL);
        }
        let given = self.read_authorities().await?;
        let all = self.bundles.merge(&given, &published.value.bundles);
        let to = self.store.publication_location();
        match ca_publication::next_action(&self.update_history(
            memory,
            &published.value,
            &given,
            &all,
        )) {
            PublicationAction::Wait(rest) => Ok(rest),
            PublicationAction::PublishAll => {
                let rest = self.publish(&all, &published).await?;
                info!(to, "the webhook's certificate authorities are published");
                Ok(rest)
            }
            PublicationAction::PruneOldAuthorities => {
                let rest = self.publish(&given, &published).await?;
                info!(to, "the webhook's older certificate authorities are forgotten");
                Ok(rest)
            }
        }
    }
}

#[cfg(test)]
mod tests;
