//! How long to wait before retrying a failed operation.

use std::time::Duration;

/// Maximum delay before the first retry.
const INITIAL_DELAY: Duration = Duration::from_millis(100);
/// Maximum delay between retries, unless the destination asks for more.
const MAX_DELAY: Duration = Duration::from_secs(10);
/// Maximum delay that a destination may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Exponential backoff with full jitter.
///
/// The ceiling starts at 100 ms and doubles up to 10 s; the delay is a random part of it, so that
/// the sidecars do not all reach a recovering destination at the same moment. For the same reason the
/// random part is up to half of a delay that the destination asked for, if that is more: it asks
/// everyone that it refuses for the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Counts a failure and returns how long to wait before the next attempt.
    ///
    /// `asked` is the delay the destination asked for, capped at 5 minutes; the random delay is added
    /// to it. `random` is a fresh random number.
    pub fn after_failure(&mut self, asked: Option<Duration>, random: u64) -> Duration {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let ceiling = INITIAL_DELAY.saturating_mul(1 << doublings).min(MAX_DELAY);
        let asked = asked.unwrap_or_default().min(MAX_RETRY_AFTER);
        asked + full_jitter(ceiling.max(asked / 2), random)
    }

    /// Resets the failure count.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Returns a duration from zero to `whole`, inclusive, chosen by `random`.
pub(super) fn full_jitter(whole: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX - 1);
    Duration::from_nanos(random % (nanos + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A random number that picks the maximum, `ceiling`.
    fn whole(ceiling: Duration) -> u64 {
        u64::try_from(ceiling.as_nanos()).unwrap()
    }

    #[test]
    fn the_first_wait_is_at_most_100_ms() {
        let mut backoff = Backoff::default();

        assert_eq!(backoff.after_failure(None, whole(INITIAL_DELAY)), INITIAL_DELAY);
    }

    #[test]
    fn the_wait_may_be_zero() {
        assert_eq!(Backoff::default().after_failure(None, 0), Duration::ZERO);
    }

    #[test]
    fn each_failure_doubles_the_maximum_wait() {
        let mut backoff = Backoff::default();

        let waits: Vec<_> = (0..4)
            .map(|n| backoff.after_failure(None, whole(INITIAL_DELAY * (1 << n))).as_millis())
            .collect();

        assert_eq!(waits, [100, 200, 400, 800]);
    }

    #[test]
    fn the_wait_never_exceeds_10_s() {
        let mut backoff = Backoff { failures: u32::MAX };

        assert_eq!(backoff.after_failure(None, whole(MAX_DELAY)), MAX_DELAY);
        assert_eq!(backoff.failures, u32::MAX);
    }

    #[test]
    fn a_success_starts_over() {
        let mut backoff = Backoff { failures: 9 };

        backoff.reset();

        assert_eq!(backoff.after_failure(None, whole(INITIAL_DELAY)), INITIAL_DELAY);
    }

    #[test]
    fn the_wait_is_at_least_as_long_as_the_destination_asked() {
        let asked = Duration::from_secs(20);

        assert_eq!(Backoff::default().after_failure(Some(asked), 0), asked);
        assert_eq!(
            Backoff::default().after_failure(Some(asked), whole(INITIAL_DELAY)),
            asked + INITIAL_DELAY
        );
    }

    #[test]
    fn the_random_part_is_up_to_half_of_what_the_destination_asked_for() {
        let asked = Duration::from_secs(20);

        let longest = Backoff::default().after_failure(Some(asked), whole(asked / 2));

        assert_eq!(longest, asked + asked / 2);
    }

    #[test]
    fn a_requested_wait_of_zero_does_not_disable_the_backoff() {
        let mut backoff = Backoff { failures: 4 };

        let wait = backoff.after_failure(Some(Duration::ZERO), whole(16 * INITIAL_DELAY));

        assert_eq!(wait, 16 * INITIAL_DELAY);
    }

    #[test]
    fn a_destination_cannot_ask_for_more_than_5_minutes() {
        let wait = Backoff::default().after_failure(Some(Duration::MAX), 0);

        assert_eq!(wait, MAX_RETRY_AFTER);
    }
}
