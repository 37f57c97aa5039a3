//! When the webhook's certificates are created, published, renewed and removed.
//!
//! The order of a rotation: a new authority is added to the bundle; the bundle is published; once it
//! has been published for [`PROPAGATION_DELAY`], a leaf of the new authority is issued; once that leaf
//! has been stored for [`AUTHORITY_RETENTION`], the old authorities are removed. The authority of the
//! served leaf is always among the published ones.
//!
//! A leaf that is lost, as with its Secret, is issued without that wait by a leader that itself serves
//! none that API servers trust. Usually nobody does then, since every replica was restarted after the
//! loss, and pods get no sidecar until there is a leaf. Should another replica still serve, this costs
//! it little: the old authorities stay published, and it serves the new leaf only once it has seen the
//! new authority published for a while, as with one that an administrator renews. The leader itself
//! gets no request before, because it is not ready until its authority is published. A leader that
//! does serve waits, as there is no outage to end. Its leaf counts even if it has expired: the clock
//! may be wrong.
//!
//! Authorities that another publisher published are adopted into the bundle as old ones, since
//! replicas may still serve leaves that they issued.
//!
//! Validity follows the wall clock, which may jump. The waits between steps are measured by a
//! monotonic clock, so that no jump shortens them.

use std::time::Duration;

/// The lifetime of an authority. Its replacement takes a minute and is automatic, so a year is long
/// enough, and it limits the use of a stolen key.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_hours(24 * 365);
/// The lifetime of a leaf. It is renewed after 20 days, which leaves 10 days to notice a leader that
/// cannot write.
pub const LEAF_LIFETIME: Duration = Duration::from_hours(24 * 30);
/// How far a certificate's validity begins in the past: the clocks of API servers may be behind.
pub const BACKDATE: Duration = Duration::from_hours(1);
/// How long a bundle is published before a leaf that needs it is issued: API servers read the
/// webhook's configuration from a cache.
pub const PROPAGATION_DELAY: Duration = Duration::from_mins(1);
/// How long old authorities stay once the leaf is of the newest one. Longer than a replica that missed
/// the change needs to list the Secret again.
pub const AUTHORITY_RETENTION: Duration = Duration::from_mins(10);
/// Maximum number of old authorities with which a requested rotation begins.
pub const MAX_OLD_AUTHORITIES: usize = 7;
/// Maximum number of authorities in a bundle: it has to fit into a Secret.
pub const MAX_AUTHORITIES: usize = 32;
/// The longest wait: the wall clock may jump meanwhile.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_mins(10);

/// When a certificate is valid, both ends included; times since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: Duration,
    /// The last moment.
    pub not_after: Duration,
}

/// What of the stored certificates can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateState {
    /// The authority whose key is stored: the newest.
    pub signer: Option<Validity>,
    /// The leaf, if its key is stored and its authority is in the bundle.
    pub leaf: Option<Leaf>,
    /// Number of authorities in the bundle besides the signer.
    pub old_authorities: usize,
    /// A rotation was requested and has not begun.
    pub rotation_requested: bool,
}

/// A usable leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// When it is valid.
    pub validity: Validity,
    /// The signer issued it, not an old authority.
    pub issued_by_signer: bool,
    /// It is valid for every name of the webhook.
    pub names_match: bool,
}

/// What this process has observed; durations are of a monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RotationObservation {
    /// Every entry has exactly the stored bundle.
    pub is_published: bool,
    /// For how long every entry has contained the signer, without a break.
    pub signer_published_for: Duration,
    /// For how long the stored leaf has been the same.
    pub leaf_unchanged_for: Duration,
    /// For how long the stored bundle has been the same.
    pub bundle_unchanged_for: Duration,
    /// How long ago this process created an authority, if it did.
    pub last_authority_age: Option<Duration>,
    /// Another publisher was the last to publish.
    pub published_by_other: bool,
    /// Published authorities that replicas may still depend on are not in the stored bundle.
    pub needs_adoption: bool,
    /// What this replica serves, whatever is stored.
    pub served: ServedLeaf,
}

/// What a replica serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServedLeaf {
    /// None, or one that API servers do not trust.
    #[default]
    Untrusted,
    /// A leaf whose authority is published, even if it has expired.
    Trusted,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationAction {
    /// Make this write, then observe again.
    Apply(RotationStep),
    /// Observe again after this long, or when something changes.
    Wait(Duration),
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// Store a new authority with a new key at the front of the bundle.
    AddAuthority(Validity),
    /// Store the published authorities at the end of the bundle.
    AdoptPublished,
    /// Write the bundle to the webhook's configuration.
    Publish,
    /// Store a new leaf of the signer.
    IssueLeaf(Validity),
    /// Remove every authority but the signer from the bundle.
    PruneOldAuthorities,
}

impl Validity {
    /// Returns the validity of an authority created at `now`.
    #[must_use]
    pub fn of_authority(now: Duration) -> Self {
        Self {
            not_before: now.saturating_sub(BACKDATE),
            not_after: now.saturating_add(AUTHORITY_LIFETIME),
        }
    }

    /// Returns the validity of a leaf issued at `now` by `signer`, which it never outlives.
    #[must_use]
    pub fn of_leaf(now: Duration, signer: Self) -> Self {
        Self {
            not_before: now.saturating_sub(BACKDATE),
            not_after: now.saturating_add(LEAF_LIFETIME).min(signer.not_after),
        }
    }

    /// Returns when two thirds of the validity are over.
    #[must_use]
    pub fn renewal_time(self) -> Duration {
        let lifetime = self.not_after.saturating_sub(self.not_before);
        self.not_before.saturating_add(lifetime / 3 * 2)
    }

    fn is_fresh(self, now: Duration) -> bool {
        self.not_before <= now && now < self.renewal_time()
    }
}

/// Returns what to do at `now`, wall-clock time since the Unix epoch.
#[must_use]
pub fn next_action(
    now: Duration,
    state: &CertificateState,
    observation: &RotationObservation,
) -> RotationAction {
    let Some(signer) = state.signer.filter(|signer| keeps_signer(now, *signer, state)) else {
        let add = RotationAction::Apply(RotationStep::AddAuthority(Validity::of_authority(now)));
        // Two leaders whose clocks disagree would else replace each other's without a pause.
        return once_elapsed(
            PROPAGATION_DELAY,
            observation.last_authority_age.unwrap_or(PROPAGATION_DELAY),
            add,
        );
    };
    let issue = RotationAction::Apply(RotationStep::IssueLeaf(Validity::of_leaf(now, signer)));
    let is_good =
        |leaf: Leaf| leaf.issued_by_signer && leaf.names_match && leaf.validity.is_fresh(now);
    if observation.published_by_other && !state.leaf.is_some_and(is_good) {
        // No API server uses the leaf before its authority is published: replicas are not ready until
        // then.
        return issue;
    }
    if observation.needs_adoption {
        return RotationAction::Apply(RotationStep::AdoptPublished);
    }
    if !observation.is_published {
        return RotationAction::Apply(RotationStep::Publish);
    }
    match state.leaf {
        // Replicas may still serve a leaf that is lost here: it counts as one of an old authority.
        None if state.old_authorities == 0 || observation.served == ServedLeaf::Untrusted => issue,
        None => once_elapsed(PROPAGATION_DELAY, observation.signer_published_for, issue),
        Some(leaf) if !leaf.issued_by_signer => {
            once_elapsed(PROPAGATION_DELAY, observation.signer_published_for, issue)
        }
        Some(leaf) if !leaf.names_match || !leaf.validity.is_fresh(now) => issue,
        Some(_) if state.old_authorities > 0 => {
            let settled = observation.leaf_unchanged_for.min(observation.bundle_unchanged_for);
            once_elapsed(
                AUTHORITY_RETENTION,
                settled,
                RotationAction::Apply(RotationStep::PruneOldAuthorities),
            )
        }
        Some(leaf) => {
            let due = signer.renewal_time().min(leaf.validity.renewal_time());
            RotationAction::Wait(due.saturating_sub(now).min(MAX_POLL_INTERVAL))
        }
    }
}

/// Returns whether the signer stays.
fn keeps_signer(now: Duration, signer: Validity, state: &CertificateState) -> bool {
    // A rotation in progress ends first, or repeated requests would never reach the leaf.
    let in_progress = state.leaf.is_some_and(|leaf| !leaf.issued_by_signer);
    let begins_rotation =
        state.rotation_requested && !in_progress && state.old_authorities < MAX_OLD_AUTHORITIES;
    signer.is_fresh(now) && !begins_rotation
}

fn once_elapsed(wait: Duration, elapsed: Duration, then: RotationAction) -> RotationAction {
    match wait.saturating_sub(elapsed) {
        Duration::ZERO => then,
        remaining => RotationAction::Wait(remaining),
    }
}

#[cfg(test)]
mod tests;
