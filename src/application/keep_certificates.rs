//! Keeps the webhook's certificates: makes and renews them, and keeps their bundle published.
//!
//! Two leaders at once do no harm. Every look reads what is published *before* what is held, and
//! every write names the version it replaces; so a bundle is only ever replaced by one as new, and
//! a leader that was asleep loses to the one that was not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::domain::backoff::Backoff;
use crate::domain::rotation::{self, Next, Seen, Step};
use crate::ports::certificates::{
    CertificateIssuer, CertificateMonitor, CertificateStore, Inspection, IssueError, Keyring,
    Publication, StoreError, Versioned,
};
use crate::ports::clock::{Clock, WallClock};

/// The use case; only the leader runs it.
pub struct CertificateKeeper<I, S, M, C, W> {
    issuer: I,
    store: S,
    monitor: Arc<M>,
    clock: C,
    wall_clock: W,
    random: fn() -> u64,
}

/// Since when, by the clock that does not jump, something has been as it is.
struct Since<T> {
    what: T,
    since: Duration,
}

/// What this leader has seen since it leads.
#[derive(Default)]
struct Memory {
    /// Generation and signer of a publication that every entry had.
    signer: Option<Since<(String, Vec<u8>)>>,
    leaf: Option<Since<Vec<u8>>>,
    /// When it last made an authority.
    authority_made: Option<Duration>,
    /// The failure that was logged last.
    failure: Option<String>,
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
        Self { issuer, store, monitor, clock, wall_clock, random }
    }

    /// Keeps the certificates whenever `leading` is true, until its sender is gone.
    ///
    /// `changes` is a counter that rises with every change of what is held or published: it makes
    /// repairs immediate. Without one it looks again every ten minutes.
    pub async fn run(&self, mut leading: watch::Receiver<bool>, changes: watch::Receiver<u64>) {
        while leading.wait_for(|leads| *leads).await.is_ok() {
            // A write that is cut off in flight is either done or not; the next leader reads which.
            let deposed = tokio::select! {
                deposed = leading.wait_for(|leads| !leads) => deposed.is_ok(),
                () = self.keep(changes.clone()) => false,
            };
            if !deposed {
                return;
            }
        }
    }

    async fn keep(&self, mut changes: watch::Receiver<u64>) {
        let mut memory = Memory::default();
        let mut backoff = Backoff::default();
        loop {
            changes.mark_unchanged();
            let rest = match self.act(&mut memory).await {
                Ok(rest) => {
                    backoff.reset();
                    memory.failure = None;
                    rest
                }
                Err(error) => {
                    self.report(error, &mut memory);
                    backoff.after_failure(None, (self.random)())
                }
            };
            self.rest(rest, &mut changes).await;
        }
    }

    /// Looks once, does what is due, and returns when to look again.
    async fn act(&self, memory: &mut Memory) -> Result<Duration, StoreError> {
        let look = self.look(memory).await?;
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

    async fn look(&self, memory: &mut Memory) -> Result<Look, StoreError> {
        // In this order: see the module's description.
        let published = self.store.published().await?.ok_or_else(|| {
            let publisher = self.store.publisher();
            StoreError::Failed(format!(
                "there is no {publisher}: install the chart again, or correct WEBHOOK_NAME"
            ))
        })?;
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
        Seen {
            is_published: everywhere(&|bundle| *bundle == inspection.bundle),
            signer_published: held_for(&mut memory.signer, signer, now),
            leaf_held: held_for(&mut memory.leaf, leaf.cloned(), now),
            authority_made: memory.authority_made.map(|made| now.saturating_sub(made)),
        }
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
            Step::IssueLeaf(validity) => self.issuer.issue_leaf(&held, validity),
            Step::ForgetOlder => Ok(Keyring { bundle: look.inspection.signer.clone(), ..held }),
            Step::Publish => Ok(held),
        }
    }

    fn tell(&self, inspection: &Inspection) {
        let holdings = &inspection.holdings;
        if let Some((authority, leaf)) = holdings.signer.zip(holdings.leaf) {
            self.monitor.stored(authority.not_after, leaf.validity.not_after);
        }
    }

    fn report(&self, error: StoreError, memory: &mut Memory) {
        match error {
            StoreError::Conflict => debug!("somebody else wrote the webhook's certificates"),
            StoreError::Failed(error) => {
                self.monitor.failed();
                if memory.failure.as_ref() != Some(&error) {
                    warn!(error, "the webhook's certificates cannot be kept; trying on");
                    memory.failure = Some(error);
                }
            }
        }
    }

    async fn rest(&self, rest: Duration, changes: &mut watch::Receiver<u64>) {
        let any = async {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        // Either way it is time to look again.
        let _ = timeout(rest, any).await;
    }
}

/// Returns how long `what` has been as it is now; `None` is nothing to be measured.
fn held_for<T: PartialEq>(
    memory: &mut Option<Since<T>>,
    what: Option<T>,
    now: Duration,
) -> Duration {
    *memory = what.map(|what| match memory.take() {
        Some(known) if known.what == what => known,
        _ => Since { what, since: now },
    });
    memory.as_ref().map_or(Duration::ZERO, |known| now.saturating_sub(known.since))
}

fn log(step: Step) {
    match step {
        Step::AddAuthority(_) => info!("a new certificate authority for the webhook is stored"),
        Step::IssueLeaf(_) => info!("a new certificate for the webhook is stored and served"),
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
#[path = "keep_certificates_tests/fakes.rs"]
pub(crate) mod fakes;
#[cfg(test)]
#[path = "keep_certificates_tests/mod.rs"]
mod tests;
