//! How fast a request arrives.

use std::time::Duration;

use tokio::time::Instant;

/// Length of a period, and how many are remembered: two seconds.
const PERIOD: Duration = Duration::from_millis(250);
const PERIODS: usize = 8;
const WINDOW: Duration = Duration::from_secs(2);

/// The bytes received in the last two seconds in which the sender was not held back.
#[derive(Debug)]
pub(super) struct ReceiveRate {
    /// The start of the request, later by the time in which its sender was held back.
    started: Instant,
    held_back_since: Option<Instant>,
    /// The period of the latest bytes, counted from the start.
    latest: u32,
    /// Bytes per period; the period `p` is at `p % PERIODS`.
    bytes: [u32; PERIODS],
}

impl ReceiveRate {
    pub(super) const fn starting(now: Instant) -> Self {
        Self { started: now, held_back_since: None, latest: 0, bytes: [0; PERIODS] }
    }

    /// Stops the clock: from now on the sender may send nothing.
    pub(super) fn hold_back(&mut self, now: Instant) {
        self.held_back_since.get_or_insert(now);
    }

    /// Starts the clock again.
    pub(super) fn let_send(&mut self, now: Instant) {
        if let Some(since) = self.held_back_since.take() {
            self.started += now - since;
        }
    }

    /// Adds bytes received now.
    pub(super) fn add(&mut self, now: Instant, bytes: usize) {
        self.advance(now);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Some(period) = self.bytes.get_mut(self.latest as usize % PERIODS) {
            *period = period.saturating_add(bytes);
        }
    }

    /// Returns the rate over the last two seconds; `None` in the first `grace` of the request. Neither
    /// includes time in which the sender was held back.
    pub(super) fn bytes_per_second(&mut self, now: Instant, grace: Duration) -> Option<usize> {
        self.advance(now);
        let age = self.age(now);
        let span = age.min(WINDOW);
        let bytes: u64 = self.bytes.iter().copied().map(u64::from).sum();
        let rate = u128::from(bytes) * 1_000 / span.as_millis().max(1);
        (age >= grace).then(|| usize::try_from(rate).unwrap_or(usize::MAX))
    }

    fn age(&self, now: Instant) -> Duration {
        self.held_back_since.unwrap_or(now) - self.started
    }

    /// Forgets what is older than two seconds.
    fn advance(&mut self, now: Instant) {
        let period = self.age(now).as_millis() / PERIOD.as_millis();
        let period = u32::try_from(period).unwrap_or(u32::MAX);
        for passed in (self.latest..period).take(PERIODS) {
            if let Some(bytes) = self.bytes.get_mut((passed as usize + 1) % PERIODS) {
                *bytes = 0;
            }
        }
        self.latest = period;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = PERIOD;

    fn rate_after(bytes: &[(u64, usize)], at: u64) -> Option<usize> {
        let start = Instant::now();
        let mut rate = ReceiveRate::starting(start);
        for (millis, bytes) in bytes {
            rate.add(start + Duration::from_millis(*millis), *bytes);
        }
        rate.bytes_per_second(start + Duration::from_millis(at), GRACE)
    }

    #[test]
    fn the_rate_is_that_of_the_last_two_seconds() {
        assert_eq!(rate_after(&[(0, 1_000), (1_000, 1_000)], 1_990), Some(1_005));
        assert_eq!(rate_after(&[(0, 1_000), (1_000, 1_000)], 2_500), Some(500));
        assert_eq!(rate_after(&[(0, 1_000), (1_000, 1_000)], 9_000), Some(0));
        assert_eq!(rate_after(&[(0, 9_000), (60_000, 1_000)], 60_100), Some(500));
    }

    #[test]
    fn time_in_which_the_sender_is_held_back_does_not_count() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut rate = ReceiveRate::starting(start);
        rate.add(at(10), 1_000);
        rate.hold_back(at(100));
        rate.add(at(150), 100);
        assert_eq!(rate.bytes_per_second(at(5_000), GRACE), None);

        rate.let_send(at(5_100));

        assert_eq!(rate.bytes_per_second(at(5_249), GRACE), None);
        assert_eq!(rate.bytes_per_second(at(5_500), GRACE), Some(2_200));
        assert_eq!(rate.bytes_per_second(at(7_500), GRACE), Some(0));
    }

    #[test]
    fn a_young_request_is_judged_by_its_age_and_not_in_its_grace() {
        assert_eq!(rate_after(&[(0, 1_000)], 500), Some(2_000));
        assert_eq!(rate_after(&[(0, 0)], 249), None);
        assert_eq!(rate_after(&[], 250), Some(0));
    }
}
