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

use super::certificate_loop::{
    CertificateLoop, CertificateTask, UnchangedSince, require_publication, unchanged_for,
};
use crate::domain::operator::rotation::{
    self, MAX_POLL_INTERVAL, RotationAction, RotationObservation, RotationStep,
};
use crate::ports::clock::{Clock, WallClock};
use crate::ports::operator::certificates::{
    AssignedPublisher, CertificateIssuer, CertificateMonitor, CertificateStore, Inspection,
    IssueError, Publication, StoreError, Versioned, WebhookTls,
};

/// The use case; only the leader runs it.
pub struct CertificateRotator<I, S, M, C, W> {
    issuer: I,
    store: S,
    certificate_loop: CertificateLoop<M>,
    clock: C,
    wall_clock: W,
}

/// What this leader has seen since it leads.
#[derive(Default)]
pub(super) struct RotationHistory {
    /// Generation and signer of a publication that every entry had.
    published_signer: Option<UnchangedSince<(String, Vec<u8>)>>,
    leaf: Option<UnchangedSince<Vec<u8>>>,
    bundle: Option<UnchangedSince<Vec<u8>>>,
    /// When it last made an authority.
    authority_added_at: Option<Duration>,
}

/// What one look found.
struct Observed {
    published: Versioned<Publication>,
    tls: Option<Versioned<WebhookTls>>,
    inspection: Inspection,
    observation: RotationObservation,
}

impl<I, S, M, C, W> CertificateRotator<I, S, M, C, W>
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
        Self {
            issuer,
            store,
            certificate_loop: CertificateLoop { monitor, random },
            clock,
            wall_clock,
        }
    }

    /// Keeps the certificates whenever `leading` is true, until its sender is gone.
    ///
    /// `changes` is a counter that rises with every change of what is held or published: it makes
    /// repairs immediate. Without one it looks again every ten minutes.
    pub async fn run(&self, leading: watch::Receiver<bool>, changes: watch::Receiver<u64>) {
        self.certificate_loop.run(self, leading, changes).await;
    }

    async fn observe(
        &self,
        published: Versioned<Publication>,
        memory: &mut RotationHistory,
    ) -> Result<Observed, StoreError> {
        let keyring = self.store.read_tls().await?;
        let inspection = match &keyring {
            Some(keyring) => self.issuer.inspect(&keyring.value),
            None => Inspection::default(),
        };
        self.report_expiry(&inspection);
        let leaf = keyring.as_ref().map(|keyring| &keyring.value.leaf);
        let seen = self.update_history(memory, &published.value, &inspection, leaf);
        Ok(Observed { published, tls: keyring, inspection, observation: seen })
    }

    fn update_history(
        &self,
        memory: &mut RotationHistory,
        published: &Publication,
        inspection: &Inspection,
        leaf: Option<&Vec<u8>>,
    ) -> RotationObservation {
        let now = self.clock.now();
        let everywhere = |test: &dyn Fn(&Vec<u8>) -> bool| {
            !published.bundles.is_empty() && published.bundles.iter().all(test)
        };
        let signer = everywhere(&|bundle| self.issuer.contains(bundle, &inspection.signer))
            .then(|| (published.generation.clone(), inspection.signer.clone()));
        let is_anothers = published.published_by_other
            || self.is_foreign_publication(published, &inspection.bundle);
        let joined = self.issuer.merge(&inspection.bundle, &published.bundles);
        RotationObservation {
            published_by_other: published.published_by_other,
            needs_adoption: is_anothers && joined != inspection.bundle,
            is_published: !published.published_by_other
                && everywhere(&|bundle| *bundle == inspection.bundle),
            bundle_unchanged_for: unchanged_for(
                &mut memory.bundle,
                Some(inspection.bundle.clone()),
                now,
            ),
            signer_published_for: unchanged_for(&mut memory.published_signer, signer, now),
            leaf_unchanged_for: unchanged_for(&mut memory.leaf, leaf.cloned(), now),
            last_authority_age: memory.authority_added_at.map(|made| now.saturating_sub(made)),
        }
    }

    /// Returns whether something is published, and nothing of it is held: somebody who leaves no
    /// note, such as cert-manager, has had the webhook until now.
    fn is_foreign_publication(&self, published: &Publication, bundle: &[u8]) -> bool {
        let is_shared = |entry: &Vec<u8>| self.issuer.intersects(entry, bundle);
        !bundle.is_empty() && !published.bundles.iter().any(is_shared)
    }

    async fn apply_step(&self, step: RotationStep, look: Observed) -> Result<(), StoreError> {
        if step == RotationStep::Publish {
            self.store.publish(&look.inspection.bundle, &look.published).await?;
            info!(
                to = self.store.publication_location(),
                "the webhook's certificate authorities are published"
            );
            return Ok(());
        }
        let keyring = self.build_tls(step, &look)?;
        let version = look.tls.as_ref().map(|keyring| keyring.version.as_str());
        self.store.write_tls(&keyring, version).await?;
        log_step(step);
        Ok(())
    }

    fn build_tls(&self, step: RotationStep, look: &Observed) -> Result<WebhookTls, IssueError> {
        let mut held = look.tls.as_ref().map_or_else(WebhookTls::default, |k| k.value.clone());
        match step {
            RotationStep::AddAuthority(validity) => {
                if look.inspection.bundle.is_empty() {
                    // The Secret is lost, but replicas serve on: what is published stays trusted.
                    held.bundle = look.published.value.bundles.join(&b'\n');
                }
                self.issuer.add_authority(&held, validity)
            }
            RotationStep::AdoptPublished => {
                let bundle =
                    self.issuer.merge(&look.inspection.bundle, &look.published.value.bundles);
                Ok(WebhookTls { bundle, ..held })
            }
            RotationStep::IssueLeaf(validity) => self.issuer.issue_leaf(&held, validity),
            RotationStep::PruneOldAuthorities => {
                Ok(WebhookTls { bundle: look.inspection.signer.clone(), ..held })
            }
            RotationStep::Publish => Ok(held),
        }
    }

    fn report_expiry(&self, inspection: &Inspection) {
        let holdings = &inspection.state;
        if let Some((authority, leaf)) = holdings.signer.zip(holdings.leaf) {
            self.certificate_loop.monitor.stored(authority.not_after, leaf.validity.not_after);
        }
    }
}

impl<I, S, M, C, W> CertificateTask for CertificateRotator<I, S, M, C, W>
where
    I: CertificateIssuer,
    S: CertificateStore,
    M: CertificateMonitor,
    C: Clock,
    W: WallClock,
{
    type History = RotationHistory;

    async fn run_once(&self, memory: &mut RotationHistory) -> Result<Duration, StoreError> {
        // Before what is held: see the module's description.
        let published = require_publication(&self.store).await?;
        if published.value.assigned_publisher == AssignedPublisher::Other {
            *memory = RotationHistory::default();
            return Ok(MAX_POLL_INTERVAL);
        }
        let look = self.observe(published, memory).await?;
        match rotation::next_action(
            self.wall_clock.now(),
            &look.inspection.state,
            &look.observation,
        ) {
            RotationAction::Wait(rest) => Ok(rest),
            RotationAction::Apply(step) => {
                self.apply_step(step, look).await?;
                if matches!(step, RotationStep::AddAuthority(_)) {
                    memory.authority_added_at = Some(self.clock.now());
                }
                Ok(Duration::ZERO)
            }
        }
    }
}

fn log_step(step: RotationStep) {
    match step {
        RotationStep::AddAuthority(_) => {
            info!("a new certificate authority for the webhook is stored");
        }
        RotationStep::AdoptPublished => {
            info!("what others have published for the webhook stays trusted for now");
        }
        RotationStep::IssueLeaf(_) => info!("a new certificate for the webhook is stored"),
        RotationStep::PruneOldAuthorities => {
            info!("the webhook's older certificate authorities are forgotten");
        }
        RotationStep::Publish => {}
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
