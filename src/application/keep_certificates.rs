//! Keeps the webhook's certificates: makes and renews them, and keeps their bundle published.
//!
//! Two leaders at once do no harm. Every look reads what is published *before* what is held, and
//! every write names the version it replaces; so a bundle is only ever replaced by one as new, and
//! a leader that was asleep loses to the one that was not. Whose task it is, is read with what is
//! published, so that it loses to a keeper of another mode, too.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;

use super::certificate_duty::{Attendance, Duty, Since, held_for, published};
use crate::domain::rotation::{self, LONGEST_REST, Next, Seen, Step};
use crate::ports::certificates::{
    CertificateIssuer, CertificateMonitor, CertificateStore, Inspection, IssueError, Keyring,
    Mandate, Publication, StoreError, Versioned,
};
use crate::ports::clock::{Clock, WallClock};

/// The use case; only the leader runs it.
pub struct CertificateKeeper<I, S, M, C, W> {
    issuer: I,
    store: S,
    attendance: Attendance<M>,
    clock: C,
    wall_clock: W,
}

/// What this leader has seen since it leads.
#[derive(Default)]
pub(super) struct Memory {
    /// Generation and signer of a publication that every entry had.
    signer: Option<Since<(String, Vec<u8>)>>,
    leaf: Option<Since<Vec<u8>>>,
    bundle: Option<Since<Vec<u8>>>,
    /// When it last made an authority.
    authority_made: Option<Duration>,
}

/// What one look found.
struct Look {
    published: Versioned<Publication>,
    keyring: Option<Versioned<Keyring>>,
    inspection: Inspection,
    seen: Seen,
}

impl<I, S, M, C, W> CertificateKeeper<I, S, M, C, W>
where
    I: CertificateIssuer,
    S: CertificateStore,
    M: CertificateMonitor,
    C: Clock,
    W: WallClock,
{
    /// Creates the use case. `random` gives a fresh random number at each call.
    #[must_use]
    pub fn new(
        issuer: I,
        store: S,
        monitor: Arc<M>,
        (clock, wall_clock): (C, W),
        random: fn() -> u64,
    ) -> Self {
        Self { issuer, store, attendance: Attendance { monitor, random }, clock, wall_clock }
    }

    /// Keeps the certificates whenever `leading` is true, until its sender is gone.
    ///
    /// `changes` is a counter that rises with every change of what is held or published: it makes
    /// repairs immediate. Without one it looks again every ten minutes.
    pub async fn run(&self, leading: watch::Receiver<bool>, changes: watch::Receiver<u64>) {
        self.attendance.attend(self, leading, changes).await;
    }

    async fn look(
        &self,
        published: Versioned<Publication>,
        memory: &mut Memory,
    ) -> Result<Look, StoreError> {
        let keyring = self.store.keyring().await?;
        let inspection = match &keyring {
            Some(keyring) => self.issuer.inspect(&keyring.value),
            None => Inspection::default(),
        };
        self.tell(&inspection);
        let leaf = keyring.as_ref().map(|keyring| &keyring.value.leaf);
        let seen = self.remember(memory, &published.value, &inspection, leaf);
        Ok(Look { published, keyring, inspection, seen })
    }

    fn remember(
        &self,
        memory: &mut Memory,
        published: &Publication,
        inspection: &Inspection,
        leaf: Option<&Vec<u8>>,
    ) -> Seen {
        let now = self.clock.now();
        let everywhere = |test: &dyn Fn(&Vec<u8>) -> bool| {
            !published.bundles.is_empty() && published.bundles.iter().all(test)
        };
        let signer = everywhere(&|bundle| self.issuer.contains(bundle, &inspection.signer))
            .then(|| (published.generation.clone(), inspection.signer.clone()));
        let is_anothers = published.by_another || self.is_foreign(published, &inspection.bundle);
        let joined = self.issuer.join(&inspection.bundle, &published.bundles);
        Seen {
            by_another: published.by_another,
            to_adopt: is_anothers && joined != inspection.bundle,
            is_published: !published.by_another
                && everywhere(&|bundle| *bundle == inspection.bundle),
            bundle_held: held_for(&mut memory.bundle, Some(inspection.bundle.clone()), now),
            signer_published: held_for(&mut memory.signer, signer, now),
            leaf_held: held_for(&mut memory.leaf, leaf.cloned(), now),
            authority_made: memory.authority_made.map(|made| now.saturating_sub(made)),
        }
    }

    /// Returns whether something is published, and nothing of it is held: somebody who leaves no
    /// note, such as cert-manager, has had the webhook until now.
    fn is_foreign(&self, published: &Publication, bundle: &[u8]) -> bool {
        let is_shared = |entry: &Vec<u8>| self.issuer.share(entry, bundle);
        !bundle.is_empty() && !published.bundles.iter().any(is_shared)
    }

    async fn take(&self, step: Step, look: Look) -> Result<(), StoreError> {
        if step == Step::Publish {
            self.store.publish(&look.inspection.bundle, &look.published).await?;
            info!(
                to = self.store.publisher(),
                "the webhook's certificate authorities are published"
            );
            return Ok(());
        }
        let keyring = self.make(step, &look)?;
        let version = look.keyring.as_ref().map(|keyring| keyring.version.as_str());
        self.store.keep(&keyring, version).await?;
        log(step);
        Ok(())
    }

    fn make(&self, step: Step, look: &Look) -> Result<Keyring, IssueError> {
        let mut held = look.keyring.as_ref().map_or_else(Keyring::default, |k| k.value.clone());
        match step {
            Step::AddAuthority(validity) => {
                if look.inspection.bundle.is_empty() {
                    // The Secret is lost, but replicas serve on: what is published stays trusted.
                    held.bundle = look.published.value.bundles.join(&b'\n');
                }
                self.issuer.add_authority(&held, validity)
            }
            Step::Adopt => {
                let bundle =
                    self.issuer.join(&look.inspection.bundle, &look.published.value.bundles);
                Ok(Keyring { bundle, ..held })
            }
            Step::IssueLeaf(validity) => self.issuer.issue_leaf(&held, validity),
            Step::ForgetOlder => Ok(Keyring { bundle: look.inspection.signer.clone(), ..held }),
            Step::Publish => Ok(held),
        }
    }

    fn tell(&self, inspection: &Inspection) {
        let holdings = &inspection.holdings;
        if let Some((authority, leaf)) = holdings.signer.zip(holdings.leaf) {
            self.attendance.monitor.stored(authority.not_after, leaf.validity.not_after);
        }
    }
}

impl<I, S, M, C, W> Duty for CertificateKeeper<I, S, M, C, W>
where
    I: CertificateIssuer,
    S: CertificateStore,
    M: CertificateMonitor,
    C: Clock,
    W: WallClock,
{
    type Memory = Memory;

    async fn act(&self, memory: &mut Memory) -> Result<Duration, StoreError> {
        // Before what is held: see the module's description.
        let published = published(&self.store).await?;
        if published.value.mandate == Mandate::Anothers {
            *memory = Memory::default();
            return Ok(LONGEST_REST);
        }
        let look = self.look(published, memory).await?;
        match rotation::next(self.wall_clock.now(), &look.inspection.holdings, &look.seen) {
            Next::Rest(rest) => Ok(rest),
            Next::Do(step) => {
                self.take(step, look).await?;
                if matches!(step, Step::AddAuthority(_)) {
                    memory.authority_made = Some(self.clock.now());
                }
                Ok(Duration::ZERO)
            }
        }
    }
}

fn log(step: Step) {
    match step {
        Step::AddAuthority(_) => info!("a new certificate authority for the webhook is stored"),
        Step::Adopt => info!("what others have published for the webhook stays trusted for now"),
        Step::IssueLeaf(_) => info!("a new certificate for the webhook is stored"),
        Step::ForgetOlder => info!("the webhook's older certificate authorities are forgotten"),
        Step::Publish => {}
    }
}

impl From<IssueError> for StoreError {
    fn from(IssueError(why): IssueError) -> Self {
        Self::Failed(why)
    }
}

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests;
