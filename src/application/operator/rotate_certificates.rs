//! Rotates the webhook's certificates: creates and renews them, and keeps their bundle published.
//!
//! Two leaders at once do no harm. Every run reads the publication *before* the Secret, and every
//! write names the version it replaces. So a bundle is only replaced by one that is at least as new,
//! and a leader that was suspended loses to the current one. The assigned publisher is part of the
//! publication, so the rotator also loses to an operator of another `certificates.mode`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;

use super::certificate_loop::{
    CertificateLoop, CertificateTask, RunOutcome, UnchangedSince, require_publication,
    unchanged_for,
};
use crate::domain::operator::rotation::{
    self, MAX_POLL_INTERVAL, RotationAction, RotationObservation, RotationStep, ServedLeaf,
};
use crate::ports::clock::{MonotonicClock, WallClock};
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
    serves_trusted_leaf: Box<dyn Fn() -> bool + Send + Sync>,
}

/// What this leader has observed since it became the leader.
#[derive(Default)]
pub(super) struct RotationHistory {
    /// Generation and signer of the publication, while every entry contains the signer.
    published_signer: Option<UnchangedSince<(String, Vec<u8>)>>,
    leaf: Option<UnchangedSince<Vec<u8>>>,
    bundle: Option<UnchangedSince<Vec<u8>>>,
    /// When this leader last created an authority.
    authority_added_at: Option<Duration>,
}

/// What one run read.
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
    C: MonotonicClock,
    W: WallClock,
{
    /// Creates the use case. `serves_trusted_leaf` returns whether this replica serves a leaf that API
    /// servers trust; `random` returns a new random number at each call.
    #[must_use]
    pub fn new(
        issuer: I,
        store: S,
        monitor: Arc<M>,
        (clock, wall_clock): (C, W),
        serves_trusted_leaf: impl Fn() -> bool + Send + Sync + 'static,
        random: fn() -> u64,
    ) -> Self {
        Self {
            issuer,
            store,
            certificate_loop: CertificateLoop { monitor, random },
            clock,
            wall_clock,
            serves_trusted_leaf: Box::new(serves_trusted_leaf),
        }
    }

    /// Rotates certificates whenever `leading` is true, until its sender is dropped.
    ///
    /// `changes` is a counter that increases with every change of the Secret or the publication, so
    /// that repairs are immediate. Without a change both are read every ten minutes.
    pub async fn run(&self, leading: watch::Receiver<bool>, changes: watch::Receiver<u64>) {
        self.certificate_loop.run(self, leading, changes).await;
    }

    async fn observe(
        &self,
        published: Versioned<Publication>,
        history: &mut RotationHistory,
    ) -> Result<Observed, StoreError> {
        let tls = self.store.read_tls().await?;
        let inspection = match &tls {
            Some(tls) => self.issuer.inspect(&tls.value),
            None => Inspection::default(),
        };
        self.report_expiry(&inspection);
        let leaf = tls.as_ref().map(|tls| &tls.value.leaf);
        let observation = self.update_history(history, &published.value, &inspection, leaf);
        Ok(Observed { published, tls, inspection, observation })
    }

    fn update_history(
        &self,
        history: &mut RotationHistory,
        published: &Publication,
        inspection: &Inspection,
        leaf: Option<&Vec<u8>>,
    ) -> RotationObservation {
        let now = self.clock.now();
        let in_every_entry = |test: &dyn Fn(&Vec<u8>) -> bool| {
            !published.bundles.is_empty() && published.bundles.iter().all(test)
        };
        let signer = in_every_entry(&|bundle| self.issuer.contains(bundle, &inspection.signer))
            .then(|| (published.generation.clone(), inspection.signer.clone()));
        let is_by_other = published.published_by_other
            || self.is_foreign_publication(published, &inspection.bundle);
        let merged = self.issuer.merge(&inspection.bundle, &published.bundles);
        RotationObservation {
            published_by_other: published.published_by_other,
            needs_adoption: is_by_other && merged != inspection.bundle,
            is_published: !published.published_by_other
                && in_every_entry(&|bundle| *bundle == inspection.bundle),
            bundle_unchanged_for: unchanged_for(
                &mut history.bundle,
                Some(inspection.bundle.clone()),
                now,
            ),
            signer_published_for: unchanged_for(&mut history.published_signer, signer, now),
            leaf_unchanged_for: unchanged_for(&mut history.leaf, leaf.cloned(), now),
            served: if (self.serves_trusted_leaf)() {
                ServedLeaf::Trusted
            } else {
                ServedLeaf::Untrusted
            },
            last_authority_age: history.authority_added_at.map(|added| now.saturating_sub(added)),
        }
    }

    /// Returns whether no published authority is in `bundle`: a publisher that sets no annotation, such
    /// as cert-manager, wrote the configuration.
    fn is_foreign_publication(&self, published: &Publication, bundle: &[u8]) -> bool {
        let is_shared = |entry: &Vec<u8>| self.issuer.intersects(entry, bundle);
        !bundle.is_empty() && !published.bundles.iter().any(is_shared)
    }

    async fn apply_step(&self, step: RotationStep, observed: Observed) -> Result<(), StoreError> {
        if step == RotationStep::Publish {
            self.store.publish(&observed.inspection.bundle, &observed.published).await?;
            info!(
                to = self.store.publication_location(),
                "published the webhook's certificate authorities"
            );
            return Ok(());
        }
        let tls = self.build_tls(step, &observed)?;
        let version = observed.tls.as_ref().map(|tls| tls.version.as_str());
        self.store.write_tls(&tls, version).await?;
        log_step(step);
        Ok(())
    }

    fn build_tls(&self, step: RotationStep, observed: &Observed) -> Result<WebhookTls, IssueError> {
        let Observed { inspection, published, .. } = observed;
        let mut tls = observed.tls.as_ref().map(|tls| tls.value.clone()).unwrap_or_default();
        match step {
            RotationStep::AddAuthority(validity) => {
                if inspection.bundle.is_empty() {
                    // The Secret is lost, but replicas may still serve its leaf: the published authorities
                    // stay trusted.
                    tls.bundle = published.value.bundles.join(&b'\n');
                }
                self.issuer.add_authority(&tls, validity)
            }
            RotationStep::AdoptPublished => {
                let bundle = self.issuer.merge(&inspection.bundle, &published.value.bundles);
                Ok(WebhookTls { bundle, ..tls })
            }
            RotationStep::IssueLeaf(validity) => self.issuer.issue_leaf(&tls, validity),
            RotationStep::PruneOldAuthorities => {
                Ok(WebhookTls { bundle: inspection.signer.clone(), ..tls })
            }
            RotationStep::Publish => Ok(tls),
        }
    }

    fn report_expiry(&self, inspection: &Inspection) {
        let state = &inspection.state;
        if let Some((authority, leaf)) = state.signer.zip(state.leaf) {
            self.certificate_loop.monitor.stored(authority.not_after, leaf.validity.not_after);
        }
    }
}

impl<I, S, M, C, W> CertificateTask for CertificateRotator<I, S, M, C, W>
where
    I: CertificateIssuer,
    S: CertificateStore,
    M: CertificateMonitor,
    C: MonotonicClock,
    W: WallClock,
{
    type History = RotationHistory;

    async fn run_once(&self, history: &mut RotationHistory) -> Result<RunOutcome, StoreError> {
        // Before the Secret: see the module's documentation.
        let published = require_publication(&self.store).await?;
        if published.value.assigned_publisher == AssignedPublisher::Other {
            *history = RotationHistory::default();
            return Ok(RunOutcome::Wait(MAX_POLL_INTERVAL));
        }
        let observed = self.observe(published, history).await?;
        let (state, observation) = (&observed.inspection.state, &observed.observation);
        match rotation::next_action(self.wall_clock.now(), state, observation) {
            RotationAction::Wait(pause) => Ok(RunOutcome::Wait(pause)),
            RotationAction::Apply(step) => {
                self.apply_step(step, observed).await?;
                if matches!(step, RotationStep::AddAuthority(_)) {
                    history.authority_added_at = Some(self.clock.now());
                }
                Ok(RunOutcome::Wrote)
            }
        }
    }
}

fn log_step(step: RotationStep) {
    match step {
        RotationStep::AddAuthority(_) => {
            info!("stored a new certificate authority for the webhook");
        }
        RotationStep::AdoptPublished => {
            info!(
                "added the authorities published by others to the webhook's bundle for the transition"
            );
        }
        RotationStep::IssueLeaf(_) => info!("stored a new certificate for the webhook"),
        RotationStep::PruneOldAuthorities => {
            info!("removed the webhook's old certificate authorities");
        }
        RotationStep::Publish => {}
    }
}

impl From<IssueError> for StoreError {
    fn from(IssueError(reason): IssueError) -> Self {
        Self::Failed(reason)
    }
}

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests;
