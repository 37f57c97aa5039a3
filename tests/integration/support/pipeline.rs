//! A receiver between an application and a scripted destination, and an audit of its ledger.

use std::collections::HashSet;
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tracebuffer::adapters::messaging::destination::config::Protocol;

use crate::support::client::{self, ReceiverEndpoint, ResponseKind};
use crate::support::receiver::{Metrics, ReceiverProcess};
use crate::support::samples::{serialized, span};
use crate::support::scripted_destination::{ScriptedDestination, ScriptedResponse};

/// How often the ledger is audited during an action.
const AUDIT_INTERVAL: Duration = Duration::from_millis(3);
/// The time limit for anything that should be quick, generous for a busy machine.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A receiver that sends to a scripted destination without lingering.
///
/// Its application names its spans by number, counted from 0.
pub(crate) struct Pipeline {
    pub(crate) destination: ScriptedDestination,
    pub(crate) receiver: ReceiverProcess,
    protocol: Protocol,
    next_span: AtomicUsize,
}

/// Runs `scenario` over both transports.
pub(crate) async fn over_both_protocols(scenario: impl AsyncFn(Protocol)) {
    // On the heap, since the futures are large.
    tokio::join!(Box::pin(scenario(Protocol::Grpc)), Box::pin(scenario(Protocol::Http)));
}

impl Pipeline {
    /// Starts a destination and a receiver that sends to it. `settings` add to the settings for
    /// that, or override them.
    pub(crate) async fn start(protocol: Protocol, settings: &[(&str, &str)]) -> Self {
        let destination = ScriptedDestination::start(protocol).await;
        Self::start_with_destination(destination, protocol, settings).await
    }

    /// Starts a receiver whose destination is unavailable.
    pub(crate) async fn start_in_outage(protocol: Protocol, settings: &[(&str, &str)]) -> Self {
        let mut destination = ScriptedDestination::start(protocol).await;
        destination.stop().await;
        Self::start_with_destination(destination, protocol, settings).await
    }

    /// Starts a receiver whose destination asks it to wait for 2 s at the first request, which has
    /// been sent.
    pub(crate) async fn start_in_short_outage(protocol: Protocol) -> Self {
        let pipeline = Self::start(protocol, &[]).await;
        pipeline.destination.script([ScriptedResponse::come_back_later(protocol)]);
        pipeline.send(1, 1).await;
        pipeline.wait_until_failing(1).await;
        pipeline
    }

    /// Starts a receiver with this destination; `settings` may override its endpoint.
    pub(crate) async fn start_with_destination(
        destination: ScriptedDestination,
        protocol: Protocol,
        settings: &[(&str, &str)],
    ) -> Self {
        let endpoint = format!("http://{}", destination.address());
        let name = match protocol {
            Protocol::Grpc => "grpc",
            Protocol::Http => "http",
        };
        let own = [("ENDPOINT", endpoint.as_str()), ("PROTOCOL", name), ("LINGER", "0s")];
        let receiver = ReceiverProcess::start(&[&own, settings].concat()).await;
        Self { destination, receiver, protocol, next_span: AtomicUsize::new(0) }
    }

    /// The receiver's endpoint for the application, with the protocol of the destination.
    pub(crate) fn endpoint(&self) -> ReceiverEndpoint {
        match self.protocol {
            Protocol::Grpc => {
                ReceiverEndpoint { address: self.receiver.grpc(), protocol: client::Protocol::Grpc }
            }
            Protocol::Http => ReceiverEndpoint {
                address: self.receiver.http(),
                protocol: client::Protocol::Http1,
            },
        }
    }

    /// The spans named so far.
    pub(crate) fn span_count(&self) -> usize {
        self.next_span.load(Ordering::Relaxed)
    }

    /// A serialized request with the next `spans`, each with `padding` bytes in addition to its name.
    pub(crate) fn next_request(&self, spans: usize, padding: usize) -> Bytes {
        let first = self.next_span.fetch_add(spans, Ordering::Relaxed);
        let padded =
            |number: usize| Span { trace_state: "x".repeat(padding), ..span(&number.to_string()) };
        serialized((first..first + spans).map(padded).collect())
    }

    /// Sends `requests`, one after the other, each of which must be accepted in full.
    pub(crate) async fn send(&self, requests: usize, spans_each: usize) {
        self.send_padded(requests, spans_each, 0).await;
    }

    /// The same with larger spans.
    pub(crate) async fn send_padded(&self, requests: usize, spans_each: usize, padding: usize) {
        let mut connection = self.endpoint().connect().await;
        for _ in 0..requests {
            let request = self.next_request(spans_each, padding);
            let answer = connection.send(self.endpoint().request(request)).await;
            assert_eq!(answer.kind(), ResponseKind::Accepted, "{answer:?}");
            let rejected =
                answer.success_message().partial_success.map(|partial| partial.rejected_spans);
            assert_eq!(rejected.unwrap_or(0), 0, "{answer:?}");
        }
    }

    /// Waits until the last `failures` sends have failed.
    pub(crate) async fn wait_until_failing(&self, failures: u64) {
        within_timeout("the destination fails", async {
            while self.receiver.debug().await["destination"]["failures_in_a_row"]
                .as_u64()
                .is_none_or(|failed| failed < failures)
            {
                sleep(AUDIT_INTERVAL).await;
            }
        })
        .await;
    }

    /// Waits until nothing is buffered or in flight, then audits the counters.
    pub(crate) async fn wait_until_drained(&self) -> Metrics {
        let places = ["tracebuffer_buffer_spans", "tracebuffer_exporter_in_flight_spans"];
        let empty = |metrics: &Metrics| {
            places.map(|place| metrics.sum::<i64>(place, &[])).iter().sum::<i64>() == 0
        };
        let metrics = self.receiver.wait_for_metrics(empty).await;
        assert_eq!(metrics.unaccounted_spans(), 0, "{metrics:#?}");
        metrics
    }

    /// Waits until the buffer is drained; every span must then have arrived once, in order.
    pub(crate) async fn assert_all_arrived(&self) -> Metrics {
        let metrics = self.wait_until_drained().await;
        assert_eq!(self.destination.received_names(), span_names(0..self.span_count()));
        assert_eq!(sent_spans(&metrics), self.span_count() as u64);
        metrics
    }

    /// Waits until the buffer is drained; every span must then have arrived, in order apart from
    /// duplicates.
    pub(crate) async fn assert_all_arrived_at_least_once(&self) -> Metrics {
        let metrics = self.wait_until_drained().await;
        let mut seen = HashSet::new();
        let mut received = self.destination.received_names();
        received.retain(|name| seen.insert(name.clone()));
        assert_eq!(received, span_names(0..self.span_count()));
        assert_eq!(sent_spans(&metrics), self.span_count() as u64);
        metrics
    }

    /// Does `work` and audits the ledger repeatedly meanwhile.
    pub(crate) async fn while_auditing<T>(&self, work: impl Future<Output = T>) -> T {
        let audits = async {
            loop {
                audit(&self.receiver.debug().await);
                sleep(AUDIT_INTERVAL).await;
            }
        };
        let done = within_timeout("the work under audit", async {
            tokio::select! {
                done = work => done,
                () = audits => unreachable!("audits never end"),
            }
        })
        .await;
        audit(&self.receiver.debug().await);
        done
    }
}

/// Waits for something that should be quick.
pub(crate) async fn within_timeout<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(WAIT_TIMEOUT, work).await.unwrap_or_else(|_| panic!("{what} did not end in time"))
}

/// The names of these spans.
pub(crate) fn span_names(numbers: Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// Spans that were sent and accepted.
pub(crate) fn sent_spans(metrics: &Metrics) -> u64 {
    metrics.sum("tracebuffer_exporter_sent_spans_total", &[])
}

/// Spans that were sent and rejected.
pub(crate) fn rejected_spans(metrics: &Metrics) -> u64 {
    metrics.sum("tracebuffer_exporter_rejected_spans_total", &[])
}

/// Spans that were dropped for `reason`.
pub(crate) fn dropped_spans(metrics: &Metrics, reason: &str) -> u64 {
    metrics.sum("tracebuffer_dropped_spans_total", &[("reason", reason)])
}

/// Failed sends with this code.
pub(crate) fn failed_requests(metrics: &Metrics, code: &str, permanent: bool) -> u64 {
    let permanent = permanent.to_string();
    let labels = [("code", code), ("permanent", permanent.as_str())];
    metrics.sum("tracebuffer_exporter_send_failed_requests_total", &labels)
}

/// Checks one snapshot of `/debug/buffer`: every span is accounted for, and no limit is exceeded.
fn audit(snapshot: &Value) {
    let number = |value: &Value| value.as_u64().expect("a number");
    let ledger = &snapshot["ledger"];
    let dropped = ledger["dropped"].as_object().expect("drops by reason").values().map(number);
    let held = number(&ledger["buffered"]) + number(&ledger["in_flight"]);
    let gone = number(&ledger["sent"]) + number(&ledger["rejected"]) + dropped.sum::<u64>();
    assert_eq!(number(&ledger["accepted"]), gone + held, "{snapshot:#}");
    assert!(held <= number(&snapshot["limits"]["max_spans"]), "{snapshot:#}");
    assert!(
        number(&snapshot["buffer"]["bytes"]) <= number(&snapshot["limits"]["max_bytes"]),
        "{snapshot:#}"
    );
}
