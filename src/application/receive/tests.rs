//! Receiving into the real buffer over a fake store. A span is one byte.

use tokio::time::advance;

use super::*;
use crate::application::fakes::{
    FakeBuffer, LedgerTotals, MonitorEvent, RecordingMonitor, buffer, ledger_totals, limits,
};
use crate::application::testing::FakeClock;
use crate::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};

const GRPC: Transport = Transport::Grpc;
const BATCH: BatchLimits =
    BatchLimits { max_spans: 1, max_bytes: 1, max_records: 1, linger: Duration::ZERO };

/// A buffer, the use case under test, and the events of its monitor.
struct Harness {
    buffer: Arc<FakeBuffer>,
    monitor: Arc<RecordingMonitor>,
    receive: ReceiveTraces<FakeBuffer, RecordingMonitor, FakeClock>,
}

impl Harness {
    fn new(limits: BufferLimits) -> Self {
        Self::with(limits, OverflowPolicy::DropOldest)
    }

    fn with(limits: BufferLimits, policy: OverflowPolicy) -> Self {
        let buffer = buffer(limits, policy);
        let monitor = Arc::new(RecordingMonitor::default());
        let clock = FakeClock::new();
        let receive = ReceiveTraces::new(Arc::clone(&buffer), Arc::clone(&monitor), clock);
        Self { buffer, monitor, receive }
    }

    async fn receive(&self, request: ExportRequest) -> Result<ExportResult, ReceiveError> {
        self.receive.receive(GRPC, request).await
    }

    /// Receives `spans` valid spans and returns the message of the result.
    async fn message(&self, spans: usize) -> String {
        let result = self.receive(valid(spans)).await.unwrap();
        assert_eq!(result.rejected_spans, 0);
        result.message
    }
}

fn valid(spans: usize) -> ExportRequest {
    mixed(spans, 0)
}

fn mixed(spans: usize, invalid: u64) -> ExportRequest {
    ExportRequest {
        payload: Bytes::from(vec![b'a'; spans]),
        spans: u32::try_from(spans).unwrap(),
        rejected_spans: invalid,
        first_invalid: (invalid > 0).then_some(InvalidSpan::TraceIdZero),
        misdirected: None,
    }
}

fn unwritable() -> ExportRequest {
    ExportRequest { payload: Bytes::from_static(b"??"), ..valid(2) }
}

fn roomy() -> Harness {
    Harness::new(limits(100, 10_000))
}

#[tokio::test]
async fn valid_spans_are_stored_and_fully_accepted() {
    let harness = roomy();

    let result = harness.receive(valid(3)).await;

    assert_eq!(result, Ok(ExportResult::default()));
    assert_eq!(harness.monitor.events(), [MonitorEvent::Accepted(GRPC, 3)]);
    assert_eq!(
        ledger_totals(&harness.buffer),
        LedgerTotals { buffered: 3, ..LedgerTotals::default() }
    );
}

#[tokio::test]
async fn the_payload_is_stored_unchanged() {
    let harness = roomy();
    let request = ExportRequest { payload: Bytes::from_static(b"xyz"), ..valid(3) };

    harness.receive(request).await.unwrap();

    let batch = harness.buffer.take(BATCH).await.unwrap().unwrap();
    assert_eq!(batch.payload, [Bytes::from_static(b"xyz")]);
}

#[tokio::test]
async fn an_empty_request_succeeds_and_stores_nothing() {
    let harness = roomy();

    let result = harness.receive(valid(0)).await;

    assert_eq!(result, Ok(ExportResult::default()));
    assert_eq!(harness.monitor.events(), []);
    assert_eq!(harness.buffer.status().charged_bytes, 0);
}

#[tokio::test]
async fn the_monitor_gets_the_transport_of_a_request() {
    let harness = roomy();

    harness.receive.receive(Transport::Http, valid(1)).await.unwrap();

    assert_eq!(harness.monitor.events(), [MonitorEvent::Accepted(Transport::Http, 1)]);
}

#[tokio::test]
async fn one_invalid_span_is_rejected_with_its_reason() {
    let harness = roomy();

    let result = harness.receive(mixed(2, 1)).await.unwrap();

    let message = "1 span was rejected: trace_id is all zero".to_owned();
    assert_eq!(result, ExportResult { rejected_spans: 1, message, misdirected: false });
    assert_eq!(ledger_totals(&harness.buffer).buffered, 2);
}

#[tokio::test]
async fn several_invalid_spans_are_counted_with_the_reason_of_the_first() {
    let harness = roomy();

    let result = harness.receive(mixed(2, 5)).await.unwrap();

    let message = "5 spans were rejected; the first because trace_id is all zero".to_owned();
    assert_eq!(result, ExportResult { rejected_spans: 5, message, misdirected: false });
}

#[tokio::test]
async fn a_request_with_only_invalid_spans_is_answered_and_stores_nothing() {
    let harness = roomy();

    let result = harness.receive(mixed(0, 4)).await.unwrap();

    assert_eq!(result.rejected_spans, 4);
    assert_eq!(harness.buffer.status().charged_bytes, 0);
    let refused = MonitorEvent::Refused(GRPC, RefusalReason::InvalidSpan, 4);
    assert_eq!(harness.monitor.events(), [refused]);
}

#[tokio::test]
async fn the_monitor_counts_accepted_and_invalid_spans_separately() {
    let harness = roomy();

    harness.receive(mixed(2, 3)).await.unwrap();

    let events = harness.monitor.events();
    assert_eq!(events.len(), 2);
    assert!(events.contains(&MonitorEvent::Accepted(GRPC, 2)));
    assert!(events.contains(&MonitorEvent::Refused(GRPC, RefusalReason::InvalidSpan, 3)));
}

#[tokio::test]
async fn a_request_with_other_data_than_spans_is_counted_and_the_sender_told() {
    let harness = roomy();
    let request = ExportRequest { misdirected: Some("these are logs".to_owned()), ..mixed(0, 2) };

    let result = harness.receive(request).await.unwrap();

    let message = "2 spans were rejected; the first because trace_id is all zero; these are logs";
    let expected =
        ExportResult { rejected_spans: 2, message: message.to_owned(), misdirected: true };
    assert_eq!(result, expected);
    assert!(harness.monitor.events().contains(&MonitorEvent::Misdirected(GRPC)));
}

#[tokio::test(start_paused = true)]
async fn below_90_percent_the_response_has_no_message() {
    let harness = Harness::new(limits(100, 1_000_000));

    assert_eq!(harness.message(89).await, "");
}

#[tokio::test(start_paused = true)]
async fn from_90_percent_the_response_warns_that_the_buffer_is_filling() {
    let harness = Harness::new(limits(100, 1_000_000));

    let message = harness.message(90).await;

    assert_eq!(
        message,
        "the trace buffer is 90 % full: the destination is unavailable or too slow (this request \
         is stored; the oldest spans are dropped when it is full)"
    );
}

#[tokio::test(start_paused = true)]
async fn the_response_warns_when_bytes_run_out_before_spans() {
    let harness = Harness::new(limits(1_000_000, 1_000));

    // 836 bytes and 64 for the index.
    let message = harness.message(836).await;

    assert!(message.starts_with("the trace buffer is 90 % full"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn the_response_warns_when_the_oldest_spans_are_dropped() {
    let harness = Harness::new(limits(10, 1_000_000));
    harness.message(8).await;

    let message = harness.message(4).await;

    assert_eq!(
        message,
        "the trace buffer drops its oldest spans to make room: the destination is unavailable or \
         too slow (100 % full now)"
    );
}

#[tokio::test(start_paused = true)]
async fn the_response_warns_of_an_eviction_even_if_it_leaves_room() {
    let harness = Harness::new(limits(1_000, 400));
    harness.message(236).await;

    // The record of 300 bytes is evicted for one of 100.
    let message = harness.message(100).await;

    assert!(message.contains("drops its oldest spans"), "{message}");
    assert!(message.contains("(41 % full now)"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn the_application_is_warned_at_most_once_in_30_s() {
    let harness = Harness::new(limits(100, 1_000_000));
    assert_ne!(harness.message(95).await, "");

    assert_eq!(harness.message(1).await, "");
    advance(Duration::from_millis(29_999)).await;
    assert_eq!(harness.message(1).await, "");
    advance(Duration::from_millis(1)).await;

    assert_ne!(harness.message(1).await, "");
    assert_eq!(harness.message(1).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_request_below_90_percent_does_not_delay_the_next_warning() {
    let harness = Harness::new(limits(100, 1_000_000));
    harness.message(89).await;

    assert_ne!(harness.message(1).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_and_a_warning_share_one_message() {
    let harness = Harness::new(limits(10, 1_000_000));

    let message = harness.receive(mixed(9, 1)).await.unwrap().message;

    let (rejection, warning) = message.split_once("; ").unwrap();
    assert_eq!(rejection, "1 span was rejected: trace_id is all zero");
    assert!(warning.starts_with("the trace buffer is 90 % full"), "{warning}");
}

#[tokio::test]
async fn a_record_larger_than_the_whole_buffer_can_never_be_accepted() {
    let harness = Harness::new(limits(1_000, 200));

    let error = harness.receive(valid(137)).await.unwrap_err();

    let ReceiveError::TooLarge(message) = error else { panic!("{error:?}") };
    assert_eq!(
        message,
        "the request needs 201 bytes of buffer, more than the whole buffer's 200: send smaller \
         batches or raise TRACEBUFFER_MAX_BYTES"
    );
    let refused = MonitorEvent::Refused(GRPC, RefusalReason::TooLarge, 137);
    assert_eq!(harness.monitor.events(), [refused]);
    assert_eq!(ledger_totals(&harness.buffer), LedgerTotals::default());
}

#[tokio::test]
async fn more_spans_than_a_rejecting_buffer_may_hold_can_never_be_accepted() {
    let harness = Harness::with(limits(10, 10_000), OverflowPolicy::Reject);

    let error = harness.receive(valid(11)).await.unwrap_err();

    let ReceiveError::TooLarge(message) = error else { panic!("{error:?}") };
    assert_eq!(
        message,
        "the request has 11 spans, more than the whole buffer's 10: send smaller batches or \
         raise TRACEBUFFER_MAX_SPANS"
    );
    assert_eq!(
        harness.monitor.events(),
        [MonitorEvent::Refused(GRPC, RefusalReason::TooLarge, 11)]
    );
}

#[tokio::test]
async fn a_full_rejecting_buffer_is_unavailable_for_now() {
    let harness = Harness::with(limits(10, 10_000), OverflowPolicy::Reject);
    harness.receive(valid(8)).await.unwrap();

    let error = harness.receive(valid(3)).await.unwrap_err();

    let message = "the trace buffer is full; try again later".to_owned();
    assert_eq!(error, ReceiveError::Unavailable(message));
    assert_eq!(
        harness.monitor.events()[1..],
        [MonitorEvent::Refused(GRPC, RefusalReason::Full, 3)]
    );
    assert_eq!(ledger_totals(&harness.buffer).buffered, 8);
}

#[tokio::test]
async fn a_failing_store_is_unavailable_for_now_with_the_reason() {
    let harness = roomy();

    let error = harness.receive(unwritable()).await.unwrap_err();

    assert_eq!(error, ReceiveError::Unavailable("the disk is full".to_owned()));
    assert_eq!(
        harness.monitor.events(),
        [MonitorEvent::Refused(GRPC, RefusalReason::StoreFailed, 2)]
    );
    assert_eq!(ledger_totals(&harness.buffer), LedgerTotals::default());
}

#[tokio::test]
async fn a_refused_request_counts_its_invalid_spans_too() {
    let harness = Harness::new(limits(1_000, 200));

    harness.receive(mixed(150, 3)).await.unwrap_err();

    let events = harness.monitor.events();
    assert!(events.contains(&MonitorEvent::Refused(GRPC, RefusalReason::TooLarge, 150)));
    assert!(events.contains(&MonitorEvent::Refused(GRPC, RefusalReason::InvalidSpan, 3)));
}

#[tokio::test]
async fn a_closed_buffer_responds_that_the_receiver_is_shutting_down() {
    let harness = Harness::with(limits(10, 10_000), OverflowPolicy::DropOldest);
    harness.buffer.reject_new();

    let error = harness.receive(valid(3)).await.unwrap_err();

    let message = "the receiver is shutting down".to_owned();
    assert_eq!(error, ReceiveError::Unavailable(message));
    assert_eq!(harness.monitor.events(), [MonitorEvent::Refused(GRPC, RefusalReason::Shutdown, 3)]);
    assert_eq!(harness.buffer.status().ledger.accepted, 0);
}
