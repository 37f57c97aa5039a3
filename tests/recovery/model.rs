//! Sidecars as events in virtual time, with the policies of the domain.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use fastrand::Rng;
use tracebuffer::domain::backoff::Backoff;
use tracebuffer::domain::delivery::{Failure, FailureKind};
use tracebuffer::domain::delivery_policy::{Attempt, DeliveryPolicy, RetryDecision};
use tracebuffer::domain::limits::BatchLimits;
use tracebuffer::domain::pace::Pace;

use crate::gateway::{Gateway, Verdict};
use crate::scenario::{CONFIGURED, Policy, RECORD_SPANS, SPAN_BYTES, Scenario};
use crate::secs;

struct Sidecar {
    /// Spans, those in flight included.
    backlog: u64,
    in_flight: u64,
    policy: DeliveryPolicy,
    sending: Sending,
}

enum Sending {
    Pace(Pace),
    BackoffOnly(Backoff),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Send,
    Response(Verdict),
}

/// Runs until every buffer is empty, or ten times longer than the gateway would need.
pub(crate) fn simulate(scenario: &Scenario, seed: u64) -> Gateway {
    let mut random = Rng::with_seed(seed);
    let mut gateway = scenario.gateway();
    let mut sidecars: Vec<Sidecar> =
        (0..scenario.sidecars).map(|index| Sidecar::new(scenario, index)).collect();
    let mut events: BinaryHeap<_> = (0..sidecars.len())
        .map(|sidecar| {
            Reverse((between(Duration::ZERO, secs(5), &mut random), sidecar, Event::Send))
        })
        .collect();
    let end = gateway.outages[0].end + scenario.drain * 10 + secs(600);
    while let Some(Reverse((now, index, event))) = events.pop()
        && now < end
    {
        let sidecar = &mut sidecars[index];
        let next = match event {
            Event::Send => {
                let verdict = gateway.offer(now, sidecar.send());
                let latency =
                    between(*scenario.latency.start(), *scenario.latency.end(), &mut random);
                Some((now + latency + verdict.service(), Event::Response(verdict)))
            }
            Event::Response(verdict) => {
                let wait = match verdict {
                    Verdict::Taken(_) => sidecar.delivered(random.u64(..)),
                    Verdict::Refused => {
                        sidecar.failed(now, &scenario.refusal.failure(), random.u64(..))
                    }
                    Verdict::Away => sidecar.failed(now, &unreachable(), random.u64(..)),
                };
                (sidecar.backlog > 0).then_some((now + wait, Event::Send))
            }
        };
        events.extend(next.map(|(at, event)| Reverse((at, index, event))));
    }
    gateway
}

impl Sidecar {
    fn new(scenario: &Scenario, index: usize) -> Self {
        Self {
            backlog: scenario.backlog(index),
            in_flight: 0,
            policy: DeliveryPolicy::new(CONFIGURED),
            sending: match scenario.policy {
                Policy::Pace => Sending::Pace(Pace::new(CONFIGURED.max_spans)),
                Policy::BackoffOnly => Sending::BackoffOnly(Backoff::default()),
            },
        }
    }

    /// Takes the next batch, whole records or a part of one, and returns its spans.
    fn send(&mut self) -> u64 {
        let mut limits = self.policy.next_batch_limits();
        if let Sending::Pace(pace) = &self.sending {
            limits = pace.limit(limits);
        }
        let BatchLimits { max_spans, max_bytes, .. } = limits;
        let most = max_spans.min(max_bytes / SPAN_BYTES).max(1);
        // What is left of the first record.
        let first = (self.backlog - 1) % RECORD_SPANS + 1;
        self.in_flight = match most.checked_sub(first) {
            None => most,
            Some(room) => self.backlog.min(first + room / RECORD_SPANS * RECORD_SPANS),
        };
        self.in_flight
    }

    /// Returns how long to wait before the next attempt, as `ForwardTraces` does.
    fn delivered(&mut self, random: u64) -> Duration {
        self.backlog -= self.in_flight;
        self.policy.delivered();
        match &mut self.sending {
            Sending::Pace(pace) => pace.delivered(self.in_flight, random),
            Sending::BackoffOnly(backoff) => {
                backoff.reset();
                Duration::ZERO
            }
        }
    }

    fn failed(&mut self, now: Duration, failure: &Failure, random: u64) -> Duration {
        let spans = self.in_flight;
        let records = usize::try_from(spans.div_ceil(RECORD_SPANS)).unwrap();
        let attempt = Attempt { records, spans, bytes: spans * SPAN_BYTES };
        let RetryDecision::Requeue { back_off: true } = self.policy.failed(failure.kind, attempt)
        else {
            panic!("no scenario refuses for good: {failure:?}");
        };
        match &mut self.sending {
            Sending::Pace(pace) => pace.failed(now, spans, failure.retry_after, random),
            Sending::BackoffOnly(backoff) => backoff.after_failure(failure.retry_after, random),
        }
    }
}

impl Verdict {
    pub(crate) fn service(self) -> Duration {
        match self {
            Self::Taken(service) => service,
            Self::Refused | Self::Away => Duration::ZERO,
        }
    }
}

pub(crate) fn unreachable() -> Failure {
    Failure {
        kind: FailureKind::Unavailable,
        code: "connect",
        retry_after: None,
        message: "connection refused".into(),
    }
}

pub(crate) fn between(shortest: Duration, longest: Duration, random: &mut Rng) -> Duration {
    shortest + longest.saturating_sub(shortest).mul_f64(random.f64())
}
