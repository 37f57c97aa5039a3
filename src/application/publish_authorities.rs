//! Publishes the authorities of a certificate that somebody else makes and renews.
//!
//! Every replica does so, without a leader: none takes away at once what another has published, and
//! what each adds is what it needs to be asked itself. So one that was told something older than the
//! others cannot hold them up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;

use super::certificate_duty::{Attendance, Duty, Since, held_for, published};
use crate::domain::handover::{self, Next, Seen};
use crate::domain::rotation::LONGEST_REST;
use crate::ports::certificates::{
    Bundles, CertificateMonitor, CertificateStore, Mandate, Publication, StoreError, Versioned,
};
use crate::ports::clock::Clock;

/// The use case; every replica runs it.
pub struct AuthorityPublisher<B, S, M, C> {
    bundles: B,
    store: S,
    attendance: Attendance<M>,
    clock: C,
}

/// What this replica has seen.
#[derive(Default)]
pub(super) struct Memory {
    /// What every entry has held.
    published: Option<Since<Vec<u8>>>,
}

impl<B, S, M, C> AuthorityPublisher<B, S, M, C>
where
    B: Bundles,
    S: CertificateStore,
    M: CertificateMonitor,
    C: Clock,
{
    /// Creates the use case. `random` gives a fresh random number at each call.
    #[must_use]
    pub fn new(bundles: B, store: S, monitor: Arc<M>, clock: C, random: fn() -> u64) -> Self {
        Self { bundles, store, attendance: Attendance { monitor, random }, clock }
    }

    /// Publishes for ever.
    ///
    /// `changes` is a counter that rises with every change of what is given or published. Without
    /// one it looks again every ten minutes.
    pub async fn run(&self, changes: watch::Receiver<u64>) {
        let always = watch::Sender::new(true);
        self.attendance.attend(self, always.subscribe(), changes).await;
    }

    /// Returns the authorities that are given.
    async fn given(&self) -> Result<Vec<u8>, StoreError> {
        let keeper = self.store.keeper();
        let Some(keyring) = self.store.keyring().await? else {
            return Err(StoreError::Failed(format!(
                "there is no {keeper}: create it, or correct certificates.secretName"
            )));
        };
        let given = self.bundles.join(&keyring.value.bundle, &[]);
        if given.is_empty() {
            return Err(StoreError::Failed(format!(
                "{keeper} has no authority: put it there as ca.crt, or set certificates.caBundle"
            )));
        }
        Ok(given)
    }

    fn remember(
        &self,
        memory: &mut Memory,
        published: &Publication,
        given: &[u8],
        all: &[u8],
    ) -> Seen {
        let is_complete = |bundle: &Vec<u8>| self.bundles.contains(bundle, all);
        let is_published = !published.by_another
            && !published.bundles.is_empty()
            && published.bundles.iter().all(is_complete);
        let known = is_published.then(|| all.to_vec());
        Seen {
            is_published,
            has_others: all != given,
            held: held_for(&mut memory.published, known, self.clock.now()),
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

impl<B, S, M, C> Duty for AuthorityPublisher<B, S, M, C>
where
    B: Bundles,
    S: CertificateStore,
    M: CertificateMonitor,
    C: Clock,
{
    type Memory = Memory;

    async fn act(&self, memory: &mut Memory) -> Result<Duration, StoreError> {
        let published = published(&self.store).await?;
        if published.value.mandate == Mandate::Anothers {
            *memory = Memory::default();
            return Ok(LONGEST_REST);
        }
        let given = self.given().await?;
        let all = self.bundles.join(&given, &published.value.bundles);
        let to = self.store.publisher();
        match handover::next(&self.remember(memory, &published.value, &given, &all)) {
            Next::Rest(rest) => Ok(rest),
            Next::Publish => {
                let rest = self.publish(&all, &published).await?;
                info!(to, "the webhook's certificate authorities are published");
                Ok(rest)
            }
            Next::ForgetOthers => {
                let rest = self.publish(&given, &published).await?;
                info!(to, "the webhook's older certificate authorities are forgotten");
                Ok(rest)
            }
        }
    }
}

#[cfg(test)]
mod tests;
