//! Fakes of the receiver's ports. A span is one byte of payload, so requests are readable as text.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::buffer_management::TraceBuffer;
use super::testing::FakeClock;
use crate::domain::delivery::{Delivered, Failure, FailureKind};
use crate::domain::limits::{BufferLimits, OverflowPolicy};
use crate::domain::response_status::ResponseStatus;
use crate::ports::buffer::TraceBufferPort;
use crate::ports::clock::MonotonicClock;
use crate::ports::destination::{Destination, OutgoingRequest};
use crate::ports::monitor::{Monitor, RefusalReason, Transport};
use crate::ports::record_store::{RecordStore, StoreError};

/// The store fails to return a batch with this span.
const UNREADABLE: u8 = b'!';
/// The store refuses a record that starts with this span.
const UNWRITABLE: u8 = b'?';

/// Keeps all payloads in one piece, so that a batch of several records is one piece too.
#[derive(Default)]
pub(crate) struct FakeStore {
    payloads: BytesMut,
}

/// The real buffer over a fake store.
pub(crate) type FakeBuffer = TraceBuffer<FakeStore, FakeClock>;

/// How the scripted destination responds to a request.
pub(crate) enum ScriptedResponse {
    Accept(Delivered),
    Fail(Failure),
    Delay(Duration, Box<ScriptedResponse>),
    WaitFor(Arc<Notify>, Box<ScriptedResponse>),
    NeverRespond,
}

/// A received request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReceivedRequest {
    /// Time since the destination was created.
    pub(crate) at: Duration,
    pub(crate) payload: String,
    pub(crate) spans: u64,
}

type Script = Box<dyn FnMut(&ReceivedRequest) -> ScriptedResponse + Send>;

/// Responds according to its script, and records the requests.
pub(crate) struct ScriptedDestination {
    clock: FakeClock,
    script: Mutex<Script>,
    received: Mutex<Vec<ReceivedRequest>>,
    accepted_spans: Mutex<String>,
}

/// One call of the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MonitorEvent {
    Accepted(Transport, u64),
    Refused(Transport, RefusalReason, u64),
    Misdirected(Transport),
    Delivered(Duration),
    SendFailed(FailureKind, Duration),
}

/// The ledger's counts, with drops summed over all reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LedgerTotals {
    pub(crate) sent: u64,
    pub(crate) rejected: u64,
    pub(crate) dropped: u64,
    pub(crate) buffered: u64,
    pub(crate) in_flight: u64,
}

/// Records every call.
#[derive(Default)]
pub(crate) struct RecordingMonitor {
    events: Mutex<Vec<MonitorEvent>>,
}

impl RecordStore for FakeStore {
    const BLOCK_BYTES: usize = 1;

    fn blocks_wanted(&self, _payload: usize) -> usize {
        0
    }

    fn append(
        &mut self,
        payload: &[u8],
        _spare_blocks: &mut Vec<BytesMut>,
    ) -> Result<(), StoreError> {
        if payload.first() == Some(&UNWRITABLE) {
            return Err(StoreError { message: "the disk is full".to_owned() });
        }
        self.payloads.extend_from_slice(payload);
        Ok(())
    }

    fn discard_front(&mut self, bytes: u64, _freed: &mut Vec<Bytes>) {
        self.payloads.advance(size(bytes));
    }

    fn take_front(&mut self, bytes: u64, into: &mut Vec<Bytes>) -> Result<(), StoreError> {
        let payload = self.payloads.split_to(size(bytes)).freeze();
        if payload.contains(&UNREADABLE) {
            return Err(StoreError { message: "scripted".to_owned() });
        }
        into.push(payload);
        Ok(())
    }

    fn put_back(&mut self, before: u64, pieces: &[Bytes]) {
        let behind = self.payloads.split_off(size(before));
        for piece in pieces {
            self.payloads.extend_from_slice(piece);
        }
        self.payloads.unsplit(behind);
    }
}

impl ScriptedResponse {
    pub(crate) fn delayed(self, delay: Duration) -> Self {
        Self::Delay(delay, Box::new(self))
    }
}

impl ScriptedDestination {
    pub(crate) fn new(
        script: impl FnMut(&ReceivedRequest) -> ScriptedResponse + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: FakeClock::new(),
            script: Mutex::new(Box::new(script)),
            received: Mutex::default(),
            accepted_spans: Mutex::default(),
        })
    }

    /// Returns every request that arrived.
    pub(crate) fn received(&self) -> Vec<ReceivedRequest> {
        self.received.lock().clone()
    }

    /// Returns the payloads of every request that arrived.
    pub(crate) fn payloads(&self) -> Vec<String> {
        self.received().into_iter().map(|arrival| arrival.payload).collect()
    }

    /// Returns the accepted spans, in the order of the responses.
    pub(crate) fn accepted_spans(&self) -> String {
        self.accepted_spans.lock().clone()
    }
}

impl Destination for Arc<ScriptedDestination> {
    async fn send(&self, request: OutgoingRequest) -> Result<Delivered, Failure> {
        let payload = String::from_utf8(request.chunks.concat()).unwrap();
        let arrival = ReceivedRequest { at: self.clock.now(), payload, spans: request.spans };
        self.received.lock().push(arrival.clone());
        let mut response = (self.script.lock())(&arrival);
        loop {
            response = match response {
                ScriptedResponse::Accept(delivered) => {
                    self.accepted_spans.lock().push_str(&arrival.payload);
                    return Ok(delivered);
                }
                ScriptedResponse::Fail(failure) => return Err(failure),
                ScriptedResponse::Delay(delay, then) => {
                    tokio::time::sleep(delay).await;
                    *then
                }
                ScriptedResponse::WaitFor(signal, then) => {
                    signal.notified().await;
                    *then
                }
                ScriptedResponse::NeverRespond => std::future::pending().await,
            };
        }
    }
}

impl RecordingMonitor {
    pub(crate) fn events(&self) -> Vec<MonitorEvent> {
        self.events.lock().clone()
    }

    fn record(&self, event: MonitorEvent) {
        self.events.lock().push(event);
    }
}

impl Monitor for RecordingMonitor {
    /// No use case reports responses.
    fn responded(&self, _: Transport, _: ResponseStatus) {}

    fn accepted(&self, transport: Transport, spans: u64) {
        self.record(MonitorEvent::Accepted(transport, spans));
    }

    fn refused(&self, transport: Transport, reason: RefusalReason, spans: u64) {
        self.record(MonitorEvent::Refused(transport, reason, spans));
    }

    fn misdirected(&self, transport: Transport) {
        self.record(MonitorEvent::Misdirected(transport));
    }

    fn delivered(&self, elapsed: Duration) {
        self.record(MonitorEvent::Delivered(elapsed));
    }

    fn send_failed(&self, failure: &Failure, elapsed: Duration) {
        self.record(MonitorEvent::SendFailed(failure.kind, elapsed));
    }
}

/// Full success.
pub(crate) fn accept() -> ScriptedResponse {
    ScriptedResponse::Accept(Delivered::default())
}

/// A failure of `kind`.
pub(crate) fn fail(kind: FailureKind) -> ScriptedResponse {
    ScriptedResponse::Fail(failure(kind))
}

/// A failure of `kind`.
pub(crate) fn failure(kind: FailureKind) -> Failure {
    Failure { kind, code: "TEST", retry_after: None, message: "scripted".into() }
}

/// Limits in spans and bytes, without a maximum age.
pub(crate) fn limits(spans: u64, bytes: u64) -> BufferLimits {
    BufferLimits {
        max_spans: NonZeroU64::new(spans).unwrap(),
        max_bytes: NonZeroU64::new(bytes).unwrap(),
        max_age: None,
    }
}

/// An empty buffer with one taker.
pub(crate) fn buffer(limits: BufferLimits, policy: OverflowPolicy) -> Arc<FakeBuffer> {
    buffer_with_takers(1, limits, policy)
}

/// An empty buffer with this many takers.
pub(crate) fn buffer_with_takers(
    takers: usize,
    limits: BufferLimits,
    policy: OverflowPolicy,
) -> Arc<FakeBuffer> {
    let buffer = TraceBuffer::new(limits, policy, FakeStore::default(), FakeClock::new());
    Arc::new(buffer.with_takers(NonZeroUsize::new(takers).unwrap()))
}

/// Appends a record whose spans are the letters of `payload`.
pub(crate) fn append_record(buffer: &FakeBuffer, payload: &str) {
    let spans = u32::try_from(payload.len()).ok().and_then(NonZeroU32::new).unwrap();
    buffer.append_now(&Bytes::copy_from_slice(payload.as_bytes()), spans).unwrap();
}

/// Returns the ledger's counts, after asserting that they balance.
pub(crate) fn ledger_totals(buffer: &FakeBuffer) -> LedgerTotals {
    let ledger = buffer.status().ledger;
    assert!(ledger.is_balanced(), "{ledger:?}");
    LedgerTotals {
        sent: ledger.sent,
        rejected: ledger.rejected,
        dropped: ledger.dropped_total(),
        buffered: ledger.buffered,
        in_flight: ledger.in_flight,
    }
}

/// Keeps a range of spans of one byte each.
pub(crate) fn keep_letters(request: &Bytes, keep: Range<u64>) -> Vec<Bytes> {
    vec![request.slice(size(keep.start)..size(keep.end))]
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap()
}
