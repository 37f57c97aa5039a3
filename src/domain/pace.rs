//! How fast to send after the destination has failed, so that thousands of sidecars that come back
//! together do not bring it down again.

use std::time::Duration;

use super::backoff::{Backoff, full_jitter};
use super::limits::BatchLimits;

/// Spans of the first batch after an outage, and of the slowest pace: 10,000 sidecars then offer
/// 32,000 spans a second, which any destination of their size takes.
const PROBE_SPANS: u64 = 16;
/// Maximum pause between batches of slow start. Gateways judge their load about once a second, so
/// the batch may double a few times between two judgements, not ten times. From a probe to a batch
/// of 8,192 spans are 9 pauses, 2.3 s on average.
const SLOW_START_PAUSE: Duration = Duration::from_millis(500);
/// Average time between batches of a paced sidecar, the same as between attempts of the longest
/// back-off. Longer, and the pace adapts too slowly; shorter, and 10,000 sidecars send requests of
/// only a few spans.
const INTERVAL: Duration = Duration::from_secs(5);
/// A failure slows the pace to this many tenths.
const SLOWER_TENTHS: u64 = 6;
/// A success makes the pace faster by as many tenths as there were successes in a row, at most
/// this many: slowly while the destination still refuses some, soon once it takes everything. With
/// [`SLOWER_TENTHS`], the pace settles where about one attempt in three is refused.
const MAX_FASTER_TENTHS: u64 = 10;
/// A pace of this many full batches per [`INTERVAL`] is none: four a second.
const UNLIMITED_BATCHES: u64 = 20;
/// Failures in a row after which the pace says nothing any more: where one attempt in three is
/// refused, that happens once in 6,500 attempts unless the destination is away.
const FAILURES_OF_OUTAGE: u32 = 8;

/// How many spans to send next, and when.
///
/// Nothing is limited until the destination fails. After that the batch starts small and doubles
/// with each delivery (slow start). If the destination fails again before the batch has its full
/// size, it is overloaded: the sidecar keeps to a pace, at first what was delivered meanwhile, and
/// adapts it with each delivery and failure, until it is fast enough to be no limit.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    full_batch: u64,
    backoff: Backoff,
    consecutive_failures: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unlimited,
    SlowStart {
        /// Maximum spans of the next batch.
        batch: u64,
        /// When the destination last failed.
        since: Duration,
        /// Spans delivered since.
        delivered: u64,
    },
    Paced {
        /// Spans per [`INTERVAL`].
        pace: u64,
        consecutive_successes: u64,
    },
}

impl Pace {
    /// Starts without a limit; a full batch has at most `full_batch` spans.
    #[must_use]
    pub fn new(full_batch: u64) -> Self {
        Self {
            full_batch,
            backoff: Backoff::default(),
            consecutive_failures: 0,
            stage: Stage::Unlimited,
        }
    }

    /// Returns `limits`, with fewer spans if the pace requires it.
    #[must_use]
    pub fn limit(&self, limits: BatchLimits) -> BatchLimits {
        let spans = match self.stage {
            Stage::Unlimited => return limits,
            Stage::SlowStart { batch, .. } => batch,
            Stage::Paced { pace, .. } => pace,
        };
        BatchLimits { max_spans: limits.max_spans.min(spans), ..limits }
    }

    /// Counts a delivery of `spans` and returns how long to wait before the next batch.
    ///
    /// `random` is a fresh random number.
    pub fn delivered(&mut self, spans: u64, random: u64) -> Duration {
        self.backoff.reset();
        self.consecutive_failures = 0;
        match self.stage {
            Stage::Unlimited => Duration::ZERO,
            Stage::SlowStart { batch, since, delivered } => {
                let batch = batch.saturating_mul(2);
                self.stage = if batch < self.full_batch {
                    Stage::SlowStart { batch, since, delivered: delivered.saturating_add(spans) }
                } else {
                    Stage::Unlimited
                };
                full_jitter(SLOW_START_PAUSE, random)
            }
            Stage::Paced { pace, consecutive_successes } => {
                let successes = consecutive_successes.saturating_add(1);
                let faster = pace.saturating_add(tenths(pace, successes.min(MAX_FASTER_TENTHS)));
                self.stage = if faster < self.full_batch.saturating_mul(UNLIMITED_BATCHES) {
                    Stage::Paced { pace: faster, consecutive_successes: successes }
                } else {
                    Stage::Unlimited
                };
                pause(spans, faster, random)
            }
        }
    }

    /// Counts a failure to send `spans` at the time `now` and returns how long to wait before the
    /// next attempt.
    ///
    /// `asked` is the delay the destination asked for; `random` is a fresh random number.
    pub fn failed(
        &mut self,
        now: Duration,
        spans: u64,
        asked: Option<Duration>,
        random: u64,
    ) -> Duration {
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        self.stage = self.stage_after_failure(now);
        let wait = self.backoff.after_failure(asked, random);
        match self.stage {
            Stage::Paced { pace, .. } => wait.max(pause(spans, pace, random)),
            Stage::Unlimited | Stage::SlowStart { .. } => wait,
        }
    }

    /// Counts a failure that does not tell whether the destination is overloaded, and returns how long
    /// to wait before the next attempt.
    ///
    /// It may be the end of an outage, so the batch starts small; or a proxy that refuses large
    /// requests, for which a slower pace would be no remedy. Parameters are those of [`Pace::failed`].
    pub fn interrupted(&mut self, now: Duration, asked: Option<Duration>, random: u64) -> Duration {
        self.stage = match self.stage {
            Stage::SlowStart { batch, since, delivered } if delivered > 0 => {
                Stage::SlowStart { batch: (batch / 2).max(PROBE_SPANS), since, delivered }
            }
            Stage::Unlimited | Stage::SlowStart { .. } => {
                Stage::SlowStart { batch: PROBE_SPANS, since: now, delivered: 0 }
            }
            paced @ Stage::Paced { .. } => paced,
        };
        self.backoff.after_failure(asked, random)
    }

    fn stage_after_failure(&self, now: Duration) -> Stage {
        let pace = match self.stage {
            Stage::SlowStart { since, delivered, .. } if delivered > 0 => {
                per_interval(delivered, now.saturating_sub(since))
            }
            Stage::Paced { pace, .. } if self.consecutive_failures < FAILURES_OF_OUTAGE => {
                tenths(pace, SLOWER_TENTHS)
            }
            _ => return Stage::SlowStart { batch: PROBE_SPANS, since: now, delivered: 0 },
        };
        Stage::Paced { pace: pace.max(PROBE_SPANS), consecutive_successes: 0 }
    }
}

/// Returns this many tenths of `whole`, rounded up.
const fn tenths(whole: u64, tenths: u64) -> u64 {
    whole.saturating_mul(tenths).div_ceil(10)
}

/// Returns `spans` in the time `elapsed` as spans per [`INTERVAL`].
fn per_interval(spans: u64, elapsed: Duration) -> u64 {
    let pace = u128::from(spans) * INTERVAL.as_millis() / elapsed.as_millis().max(1);
    u64::try_from(pace).unwrap_or(u64::MAX)
}

/// Returns the time that `spans` take at `pace`, at most [`INTERVAL`], give or take a half at
/// random so that sidecars do not keep step.
fn pause(spans: u64, pace: u64, random: u64) -> Duration {
    let nanos = INTERVAL.as_nanos() * u128::from(spans.min(pace)) / u128::from(pace.max(1));
    let even = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    even / 2 + full_jitter(even, random)
}

#[cfg(test)]
mod tests;
