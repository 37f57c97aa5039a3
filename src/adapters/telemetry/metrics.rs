//! Counters of the receiver.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;

use crate::domain::answer::Answer;
use crate::domain::delivery::Failure;
use crate::ports::monitor::{Monitor, RefusalReason, Transport};

const TRANSPORTS: [(Transport, &str); 2] = [(Transport::Grpc, "grpc"), (Transport::Http, "http")];
const REFUSALS: [(RefusalReason, &str); 5] = [
    (RefusalReason::InvalidSpan, "invalid_span"),
    (RefusalReason::TooLarge, "too_large"),
    (RefusalReason::Full, "full"),
    (RefusalReason::Shutdown, "shutdown"),
    (RefusalReason::StoreFailed, "store_failed"),
];
/// Upper bounds of the send duration's buckets, in seconds.
const SEND_SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// What one transport has counted.
#[derive(Debug, Default)]
struct TransportCounters {
    accepted: AtomicU64,
    refused: [AtomicU64; REFUSALS.len()],
    answered: [AtomicU64; Answer::ALL.len()],
}

/// The latest news of the destination.
#[derive(Clone, Debug, Default)]
pub(super) struct DestinationNews {
    pub(super) last_success: Option<SystemTime>,
    pub(super) last_failure: Option<(SystemTime, &'static str, Cow<'static, str>)>,
    /// Failed sends since the last that succeeded.
    pub(super) failures_in_a_row: u64,
}

/// Counts what happens; every label comes from a closed set.
#[derive(Debug)]
pub struct Metrics {
    transports: [TransportCounters; TRANSPORTS.len()],
    send_failed: Mutex<BTreeMap<(&'static str, bool), u64>>,
    pub(super) send_seconds: Histogram,
    news: Mutex<DestinationNews>,
}

impl Metrics {
    /// Starts at zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            transports: Default::default(),
            send_failed: Mutex::default(),
            send_seconds: Histogram::new(SEND_SECONDS),
            news: Mutex::default(),
        }
    }

    pub(super) fn news(&self) -> DestinationNews {
        self.news.lock().clone()
    }

    /// Returns accepted spans by transport.
    pub(super) fn accepted_spans(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.by_transport().map(|(name, counters)| (name, load(&counters.accepted)))
    }

    /// Returns refused spans by transport and reason.
    pub(super) fn refused_spans(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.by_transport().flat_map(|(transport, counters)| {
            let reasons = REFUSALS.into_iter().zip(&counters.refused);
            reasons.map(move |((_, reason), count)| (transport, reason, load(count)))
        })
    }

    /// Returns answered requests by transport and code; codes with the same name are one.
    pub(super) fn answered_requests(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        let mut requests = BTreeMap::new();
        for ((transport, name), counters) in TRANSPORTS.into_iter().zip(&self.transports) {
            for (answer, count) in Answer::ALL.into_iter().zip(&counters.answered) {
                let (_, code) = match transport {
                    Transport::Grpc => answer.grpc_code(),
                    Transport::Http => {
                        let (status, text) = answer.http_status();
                        (i32::from(status), text)
                    }
                };
                *requests.entry((name, code)).or_default() += load(count);
            }
        }
        requests
    }

    /// Returns failed sends by code, and whether the code is permanent.
    pub(super) fn failed_sends(&self) -> BTreeMap<(&'static str, bool), u64> {
        self.send_failed.lock().clone()
    }

    fn by_transport(&self) -> impl Iterator<Item = (&'static str, &TransportCounters)> {
        TRANSPORTS.into_iter().map(|(_, name)| name).zip(&self.transports)
    }

    fn of(&self, transport: Transport) -> &TransportCounters {
        let [grpc, http] = &self.transports;
        match transport {
            Transport::Grpc => grpc,
            Transport::Http => http,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Monitor for Metrics {
    fn accepted(&self, transport: Transport, spans: u64) {
        add(&self.of(transport).accepted, spans);
    }

    fn refused(&self, transport: Transport, reason: RefusalReason, spans: u64) {
        let counters = REFUSALS.iter().zip(&self.of(transport).refused);
        for (_, counter) in counters.filter(|((each, _), _)| *each == reason) {
            add(counter, spans);
        }
    }

    fn answered(&self, transport: Transport, answer: Answer) {
        let counters = Answer::ALL.iter().zip(&self.of(transport).answered);
        for (_, counter) in counters.filter(|(each, _)| **each == answer) {
            add(counter, 1);
        }
    }

    fn delivered(&self, took: Duration) {
        self.send_seconds.observe(took.as_secs_f64());
        let mut news = self.news.lock();
        news.last_success = Some(SystemTime::now());
        news.failures_in_a_row = 0;
    }

    fn send_failed(&self, failure: &Failure, took: Duration) {
        self.send_seconds.observe(took.as_secs_f64());
        let key = (failure.code, failure.kind.is_permanent());
        *self.send_failed.lock().entry(key).or_default() += 1;
        let mut news = self.news.lock();
        news.last_failure = Some((SystemTime::now(), failure.code, failure.message.clone()));
        news.failures_in_a_row += 1;
    }
}

fn add(counter: &AtomicU64, more: u64) {
    // Counters are read alone; no other memory depends on them.
    counter.fetch_add(more, Ordering::Relaxed);
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::FailureKind;

    #[test]
    fn accepted_spans_count_for_their_transport_only() {
        let metrics = Metrics::new();

        metrics.accepted(Transport::Http, 3);

        assert_eq!(metrics.accepted_spans().collect::<Vec<_>>(), [("grpc", 0), ("http", 3)]);
    }

    #[test]
    fn refused_spans_count_for_their_reason_only() {
        let metrics = Metrics::new();

        metrics.refused(Transport::Grpc, RefusalReason::Full, 5);

        let refused: Vec<_> = metrics.refused_spans().filter(|(.., count)| *count > 0).collect();
        assert_eq!(refused, [("grpc", "full", 5)]);
    }

    #[test]
    fn answers_with_the_same_grpc_code_are_counted_together() {
        let metrics = Metrics::new();

        metrics.answered(Transport::Grpc, Answer::NotFound);
        metrics.answered(Transport::Grpc, Answer::MethodNotAllowed);
        metrics.answered(Transport::Http, Answer::NotFound);

        let answered = metrics.answered_requests();
        assert_eq!(answered.get(&("grpc", "UNIMPLEMENTED")), Some(&2));
        assert_eq!(answered.get(&("http", "404")), Some(&1));
        assert_eq!(answered.get(&("http", "405")), Some(&0));
    }

    #[test]
    fn a_success_ends_a_row_of_failures() {
        let metrics = Metrics::new();
        let failure = Failure {
            kind: FailureKind::Unavailable,
            code: "CONNECT",
            retry_after: None,
            message: "refused".into(),
        };
        metrics.send_failed(&failure, Duration::ZERO);
        metrics.send_failed(&failure, Duration::ZERO);
        assert_eq!(metrics.news().failures_in_a_row, 2);

        metrics.delivered(Duration::ZERO);

        assert_eq!(metrics.news().failures_in_a_row, 0);
        assert_eq!(metrics.failed_sends().get(&("CONNECT", false)), Some(&2));
    }
}
