//! When the webhook's certificates are made, published, served and forgotten.
//!
//! The order of a rotation: a new authority joins the bundle; the bundle is published; once API
//! servers have had it for [`PROPAGATION_DELAY`], a leaf of the new authority is issued; once that leaf has
//! been held for [`AUTHORITY_RETENTION`], the older authorities go. At every moment the authority of the
//! leaf that is served is among those published.
//!
//! What another keeper has published is taken over in the same way: its authorities join the bundle
//! as older ones, since replicas serve by them until the last has gone.
//!
//! Two clocks: validity follows the wall clock, which may jump; the waits between steps are
//! measured by the process that watches them, so that no jump cuts one short.

use std::time::Duration;

/// How long an authority lasts. A year: replacing it takes a minute and nobody's attention, and a
/// stolen key is worth nothing for longer.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_hours(24 * 365);
/// How long a leaf lasts. Renewed after 20 days, so that a leader that cannot write has 10 days to
/// be noticed.
pub const LEAF_LIFETIME: Duration = Duration::from_hours(24 * 30);
/// How far back a certificate's validity begins: API servers' clocks may be behind.
pub const BACKDATE: Duration = Duration::from_hours(1);
/// How long a bundle is published before a leaf that needs it is served: API servers read the
/// webhook's configuration from a cache.
pub const PROPAGATION_DELAY: Duration = Duration::from_mins(1);
/// How long the older authorities stay once the leaf is the newest one's. Longer than a replica
/// that missed the change needs to list the Secret anew.
pub const AUTHORITY_RETENTION: Duration = Duration::from_mins(10);
/// The most authorities beside the newest: no rotation is begun on request beyond that.
pub const MAX_OLD_AUTHORITIES: usize = 7;
/// The most authorities in a bundle, whatever happens: it has to fit into a Secret.
pub const MAX_AUTHORITIES: usize = 32;
/// The longest rest: the wall clock may jump meanwhile.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_mins(10);

/// When a certificate is valid: from and until, both included, since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: Duration,
    /// The last moment.
    pub not_after: Duration,
}

/// What is stored, as far as it can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateState {
    /// The authority whose key is held: the newest.
    pub signer: Option<Validity>,
    /// The leaf, if its key is held and its authority is in the bundle.
    pub leaf: Option<Leaf>,
    /// Authorities in the bundle beside the signer.
    pub old_authorities: usize,
    /// Somebody asked for a rotation that has not been begun.
    pub rotation_requested: bool,
}

/// A leaf that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// When it is valid.
    pub validity: Validity,
    /// It is of the signer, not of an older authority.
    pub issued_by_signer: bool,
    /// It holds the webhook's name.
    pub names_match: bool,
}

/// What this process has seen of the world, measured by a clock that does not jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RotationObservation {
    /// Exactly the bundle held is published, in every entry.
    pub is_published: bool,
    /// How long the signer has been published in every entry, without a break.
    pub signer_published_for: Duration,
    /// How long the leaf held has been the one held.
    pub leaf_unchanged_for: Duration,
    /// How long the bundle held has been the one held.
    pub bundle_unchanged_for: Duration,
    /// How long ago this process made an authority, if it did.
    pub last_authority_age: Option<Duration>,
    /// Another keeper was the last to publish.
    pub published_by_other: bool,
    /// Authorities are published that replicas may serve by, and that are not in the bundle held.
    pub needs_adoption: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationAction {
    /// Do this, then look again.
    Apply(RotationStep),
    /// Look again after this long, or when something changes.
    Wait(Duration),
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// Store a new authority with a new key in front of the bundle.
    AddAuthority(Validity),
    /// Store the authorities that are published behind those of the bundle.
    AdoptPublished,
    /// Put the bundle into the webhook's configuration.
    Publish,
    /// Store a new leaf of the signer.
    IssueLeaf(Validity),
    /// Take every authority but the signer out of the bundle.
    PruneOldAuthorities,
}

impl Validity {
    /// The validity of an authority made at `now`.
    #[must_use]
    pub fn of_authority(now: Duration) -> Self {
        Self {
            not_before: now.saturating_sub(BACKDATE),
            not_after: now.saturating_add(AUTHORITY_LIFETIME),
        }
    }

    /// The validity of a leaf issued at `now` by `signer`: it never outlives it.
    #[must_use]
    pub fn of_leaf(now: Duration, signer: Self) -> Self {
        Self {
            not_before: now.saturating_sub(BACKDATE),
            not_after: now.saturating_add(LEAF_LIFETIME).min(signer.not_after),
        }
    }

    /// Returns when two thirds of it are over.
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
    held: &CertificateState,
    seen: &RotationObservation,
) -> RotationAction {
    let Some(signer) = held.signer.filter(|signer| keeps_signer(now, *signer, held)) else {
        let add = RotationAction::Apply(RotationStep::AddAuthority(Validity::of_authority(now)));
        // Two leaders whose clocks disagree would else replace each other's without a pause.
        return once_elapsed(
            PROPAGATION_DELAY,
            seen.last_authority_age.unwrap_or(PROPAGATION_DELAY),
            add,
        );
    };
    let issue = RotationAction::Apply(RotationStep::IssueLeaf(Validity::of_leaf(now, signer)));
    let is_good =
        |leaf: Leaf| leaf.issued_by_signer && leaf.names_match && leaf.validity.is_fresh(now);
    if seen.published_by_other && !held.leaf.is_some_and(is_good) {
        // Nobody is asked by it before it is published: replicas are not ready until then.
        return issue;
    }
    if seen.needs_adoption {
        return RotationAction::Apply(RotationStep::AdoptPublished);
    }
    if !seen.is_published {
        return RotationAction::Apply(RotationStep::Publish);
    }
    match held.leaf {
        // A leaf that is lost here may be served still: it counts as one of an older authority.
        None if held.old_authorities == 0 => issue,
        None => once_elapsed(PROPAGATION_DELAY, seen.signer_published_for, issue),
        Some(leaf) if !leaf.issued_by_signer => {
            once_elapsed(PROPAGATION_DELAY, seen.signer_published_for, issue)
        }
        Some(leaf) if !leaf.names_match || !leaf.validity.is_fresh(now) => issue,
        Some(_) if held.old_authorities > 0 => {
            let settled = seen.leaf_unchanged_for.min(seen.bundle_unchanged_for);
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
fn keeps_signer(now: Duration, signer: Validity, held: &CertificateState) -> bool {
    // A rotation in progress is ended first, or requests in a row would never reach the leaf.
    let in_progress = held.leaf.is_some_and(|leaf| !leaf.issued_by_signer);
    let obeys =
        held.rotation_requested && !in_progress && held.old_authorities < MAX_OLD_AUTHORITIES;
    signer.is_fresh(now) && !obeys
}

fn once_elapsed(wait: Duration, passed: Duration, then: RotationAction) -> RotationAction {
    match wait.saturating_sub(passed) {
        Duration::ZERO => then,
        rest => RotationAction::Wait(rest),
    }
}

#[cfg(test)]
mod tests;
