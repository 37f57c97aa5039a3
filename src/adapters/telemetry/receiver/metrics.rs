//! The receiver's counters.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;

use crate::domain::delivery::Failure;
use crate::domain::response_status::ResponseStatus;
use crate::ports::monitor::{Monitor, RefusalReason, Transport};

const TRANSPORTS: [(Transport, &str); 2] = [(Transport::Grpc, "grpc"), (Transport::Http, "http")];
const REFUSAL_REASONS: [(RefusalReason, &str); 5] = [
    (RefusalReason::InvalidSpan, "invalid_span"),
    (RefusalReason::TooLarge, "too_large"),
    (RefusalReason::Full, "full"),
    (RefusalReason::Shutdown, "shutdown"),
    (RefusalReason::StoreFailed, "store_failed"),
];
/// Upper bounds of the send duration's buckets, in seconds.
const SEND_DURATION_BUCKETS: [f64; 11] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// The counters of one transport.
#[derive(Debug, Default)]
struct TransportCounters {
    accepted: AtomicU64,
    refused: [AtomicU64; REFUSAL_REASONS.len()],
    responses: [AtomicU64; ResponseStatus::ALL.len()],
}

/// The latest results of requests to the destination.
#[derive(Clone, Debug, Default)]
pub(super) struct DestinationHealth {
    pub(super) last_success: Option<SystemTime>,
    pub(super) last_failure: Option<(SystemTime, &'static str, Cow<'static, str>)>,
    /// Failed requests since the last successful one.
    pub(super) consecutive_failures: u64,
}

/// Counts the monitor's events; every label comes from a closed set.
#[derive(Debug)]
pub struct Metrics {
    transports: [TransportCounters; TRANSPORTS.len()],
    send_failed: Mutex<BTreeMap<(&'static str, bool), u64>>,
    pub(super) send_duration: Histogram,
    destination_health: Mutex<DestinationHealth>,
}

impl Metrics {
    /// Starts at zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            transports: Default::default(),
            send_failed: Mutex::default(),
            send_duration: Histogram::new(SEND_DURATION_BUCKETS),
            destination_health: Mutex::default(),
        }
    }

    pub(super) fn destination_health(&self) -> DestinationHealth {
        self.destination_health.lock().clone()
    }

    /// Returns accepted spans by transport.
    pub(super) fn accepted_spans(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.by_transport().map(|(name, counters)| (name, load(&counters.accepted)))
    }

    /// Returns refused spans by transport and reason.
    pub(super) fn refused_spans(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.by_transport().flat_map(|(transport, counters)| {
            let reasons = REFUSAL_REASONS.into_iter().zip(&counters.refused);
            reasons.map(move |((_, reason), count)| (transport, reason, load(count)))
        })
    }

    /// Returns the spans refused for reasons that `selects`.
    pub fn refused_spans_where(&self, selects: impl Fn(RefusalReason) -> bool) -> u64 {
        let counters = self.transports.iter().flat_map(|transport| &transport.refused);
        let reasons = REFUSAL_REASONS.iter().cycle().map(|(reason, _)| *reason);
        let selected = reasons.zip(counters).filter(|(reason, _)| selects(*reason));
        selected.map(|(_, counter)| load(counter)).sum()
    }

    /// Returns responses by transport and code; statuses with the same code are added up.
    pub(super) fn response_counts(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        let mut requests = BTreeMap::new();
        for ((transport, name), counters) in TRANSPORTS.into_iter().zip(&self.transports) {
            for (status, count) in ResponseStatus::ALL.into_iter().zip(&counters.responses) {
                let code = match transport {
                    Transport::Grpc => status.grpc_code().1,
                    Transport::Http => status.http_status().1,
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

    fn counters(&self, transport: Transport) -> &TransportCounters {
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
        add(&self.counters(transport).accepted, spans);
    }

    fn refused(&self, transport: Transport, reason: RefusalReason, spans: u64) {
        let counters = REFUSAL_REASONS.iter().zip(&self.counters(transport).refused);
        for (_, counter) in counters.filter(|((each, _), _)| *each == reason) {
            add(counter, spans);
        }
    }

    fn responded(&self, transport: Transport, status: ResponseStatus) {
        let counters = ResponseStatus::ALL.iter().zip(&self.counters(transport).responses);
        for (_, counter) in counters.filter(|(each, _)| **each == status) {
            add(counter, 1);
        }
    }

    fn delivered(&self, elapsed: Duration) {
        self.send_duration.observe(elapsed.as_secs_f64());
        let mut health = self.destination_health.lock();
        health.last_success = Some(SystemTime::now());
        health.consecutive_failures = 0;
    }

    fn send_failed(&self, failure: &Failure, elapsed: Duration) {
        self.send_duration.observe(elapsed.as_secs_f64());
        let key = (failure.code, failure.kind.is_permanent());
        *self.send_failed.lock().entry(key).or_default() += 1;
        let mut health = self.destination_health.lock();
        health.last_failure = Some((SystemTime::now(), failure.code, failure.message.clone()));
        health.consecutive_failures += 1;
    }
}

fn add(counter: &AtomicU64, more: u64) {
    // Relaxed: each counter is read on its own; no other memory is ordered by it.
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
        assert_eq!(metrics.refused_spans_where(RefusalReason::may_pass), 5);
        metrics.refused(Transport::Http, RefusalReason::InvalidSpan, 2);
        assert_eq!(metrics.refused_spans_where(|reason| !reason.may_pass()), 2);
    }

    #[test]
    fn responses_with_the_same_grpc_code_are_counted_together() {
        let metrics = Metrics::new();

        metrics.responded(Transport::Grpc, ResponseStatus::NotFound);
        metrics.responded(Transport::Grpc, ResponseStatus::MethodNotAllowed);
        metrics.responded(Transport::Http, ResponseStatus::NotFound);

        let answered = metrics.response_counts();
        assert_eq!(answered.get(&("grpc", "UNIMPLEMENTED")), Some(&2));
        assert_eq!(answered.get(&("http", "404")), Some(&1));
        assert_eq!(answered.get(&("http", "405")), Some(&0));
    }

    #[test]
    fn a_success_ends_a_series_of_failures() {
        let metrics = Metrics::new();
        let failure = Failure {
            kind: FailureKind::Unavailable,
            code: "CONNECT",
            retry_after: None,
            message: "refused".into(),
        };
        metrics.send_failed(&failure, Duration::ZERO);
        metrics.send_failed(&failure, Duration::ZERO);
        assert_eq!(metrics.destination_health().consecutive_failures, 2);

        metrics.delivered(Duration::ZERO);

        assert_eq!(metrics.destination_health().consecutive_failures, 0);
        assert_eq!(metrics.failed_sends().get(&("CONNECT", false)), Some(&2));
    }
}
