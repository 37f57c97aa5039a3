//! When the authorities of a supplied certificate are published, and when older ones are removed.
//!
//! Authorities that were published before stay for [`AUTHORITY_RETENTION`]: replicas depend on them
//! until they serve the new certificate or have ended.

use std::time::Duration;

use super::rotation::{AUTHORITY_RETENTION, MAX_POLL_INTERVAL};

/// What this process has observed; durations are of a monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublicationObservation {
    /// Every entry has the supplied authorities and those published in any other entry, and this
    /// publisher was the last to publish.
    pub is_published: bool,
    /// Some of them are not supplied.
    pub has_old_authorities: bool,
    /// For how long every entry has had the same authorities.
    pub unchanged_for: Duration,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicationAction {
    /// Publish the supplied authorities in front of the published ones.
    PublishAll,
    /// Publish the supplied authorities only.
    PruneOldAuthorities,
    /// Observe again after this long, or when something changes.
    Wait(Duration),
}

/// Returns what to do.
#[must_use]
pub fn next_action(observation: &PublicationObservation) -> PublicationAction {
    if !observation.is_published {
        return PublicationAction::PublishAll;
    }
    if !observation.has_old_authorities {
        return PublicationAction::Wait(MAX_POLL_INTERVAL);
    }
    match AUTHORITY_RETENTION.saturating_sub(observation.unchanged_for) {
        Duration::ZERO => PublicationAction::PruneOldAuthorities,
        remaining => PublicationAction::Wait(remaining),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(24);

    #[test]
    fn supplied_authorities_are_published_in_addition_to_any_others() {
        for has_others in [true, false] {
            let observation = PublicationObservation {
                is_published: false,
                has_old_authorities: has_others,
                unchanged_for: LONG,
            };

            assert_eq!(next_action(&observation), PublicationAction::PublishAll);
        }
    }

    #[test]
    fn old_authorities_are_removed_after_ten_minutes() {
        let mins = Duration::from_mins;
        for (unchanged, expected) in [
            (mins(0), PublicationAction::Wait(mins(10))),
            (mins(9), PublicationAction::Wait(mins(1))),
            (mins(10), PublicationAction::PruneOldAuthorities),
            (LONG, PublicationAction::PruneOldAuthorities),
        ] {
            let observation = PublicationObservation {
                is_published: true,
                has_old_authorities: true,
                unchanged_for: unchanged,
            };

            assert_eq!(next_action(&observation), expected, "{unchanged:?}");
        }
    }

    #[test]
    fn it_waits_while_only_the_supplied_authorities_are_published() {
        let observation = PublicationObservation {
            is_published: true,
            has_old_authorities: false,
            unchanged_for: LONG,
        };

        assert_eq!(next_action(&observation), PublicationAction::Wait(MAX_POLL_INTERVAL));
    }
}
