//! When authorities that somebody else makes are published, and when those of before them go.
//!
//! What was published before stays beside them for [`AUTHORITY_RETENTION`]: replicas serve by it until they
//! have come to the new certificate, or have gone themselves.

use std::time::Duration;

use super::rotation::{AUTHORITY_RETENTION, MAX_POLL_INTERVAL};

/// What this process has seen, measured by a clock that does not jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublicationObservation {
    /// The authorities given, and whatever else is published anywhere, are in every entry, and this
    /// keeper put them there.
    pub is_published: bool,
    /// Others than those given are among them.
    pub has_old_authorities: bool,
    /// How long it has been so, with the same authorities.
    pub unchanged_for: Duration,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicationAction {
    /// Publish what is given in front of all that is published.
    PublishAll,
    /// Publish what is given, and nothing else.
    PruneOldAuthorities,
    /// Look again after this long, or when something changes.
    Wait(Duration),
}

/// Returns what to do.
#[must_use]
pub fn next_action(seen: &PublicationObservation) -> PublicationAction {
    if !seen.is_published {
        return PublicationAction::PublishAll;
    }
    if !seen.has_old_authorities {
        return PublicationAction::Wait(MAX_POLL_INTERVAL);
    }
    match AUTHORITY_RETENTION.saturating_sub(seen.unchanged_for) {
        Duration::ZERO => PublicationAction::PruneOldAuthorities,
        rest => PublicationAction::Wait(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(24);

    #[test]
    fn what_is_given_is_published_whatever_else_is_there() {
        for has_others in [true, false] {
            let seen = PublicationObservation {
                is_published: false,
                has_old_authorities: has_others,
                unchanged_for: LONG,
            };

            assert_eq!(next_action(&seen), PublicationAction::PublishAll);
        }
    }

    #[test]
    fn others_stay_for_ten_minutes_and_then_go() {
        let mins = Duration::from_mins;
        for (held, expected) in [
            (mins(0), PublicationAction::Wait(mins(10))),
            (mins(9), PublicationAction::Wait(mins(1))),
            (mins(10), PublicationAction::PruneOldAuthorities),
            (LONG, PublicationAction::PruneOldAuthorities),
        ] {
            let seen = PublicationObservation {
                is_published: true,
                has_old_authorities: true,
                unchanged_for: held,
            };

            assert_eq!(next_action(&seen), expected, "{held:?}");
        }
    }

    #[test]
    fn it_rests_while_only_what_is_given_is_published() {
        let seen = PublicationObservation {
            is_published: true,
            has_old_authorities: false,
            unchanged_for: LONG,
        };

        assert_eq!(next_action(&seen), PublicationAction::Wait(MAX_POLL_INTERVAL));
    }
}
