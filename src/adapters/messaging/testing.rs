//! Scripted request bodies, and a receiver that records its calls.

use std::collections::VecDeque;
use std::io::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Request};
use http_body::{Body, Frame};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use parking_lot::Mutex;
use prost::Message;
use tokio::time::{Sleep, sleep};

use super::body::BodyReader;
use super::export_handler::ExportHandler;
use crate::adapters::server::{HoldBack, Peer};
use crate::domain::delivery::Failure;
use crate::domain::response_status::ResponseStatus;
use crate::ports::monitor::{Monitor, RefusalReason, Transport};
use crate::ports::receive::{ExportRequest, ExportResult, ReceiveError, ReceivePort};

/// The peer of a new connection.
pub(super) fn peer(connection: u64) -> Peer {
    Peer { ip: [127, 0, 0, 1].into(), connection, has_succeeded: false }
}

/// The next step of a body.
#[derive(Debug)]
pub(super) enum BodyEvent {
    Data(Bytes),
    Trailers,
    Wait(Duration),
    Fail(&'static str),
    /// The body neither continues nor ends.
    Stall,
    /// Sets the flag when the body is read up to here.
    MarkReached(Arc<AtomicBool>),
    /// Fails the test if the body is read up to here.
    PanicIfPolled,
    /// Fails the test if the body is read up to here while this lives.
    PanicIfAlive(Weak<()>),
}

/// A body that follows its script, then ends.
#[derive(Debug)]
pub(super) struct ScriptedBody {
    events: VecDeque<BodyEvent>,
    waiting: Option<Pin<Box<Sleep>>>,
}

/// The calls of a [`FakeReceiver`].
#[derive(Debug, Default)]
pub(super) struct RecordedCalls {
    pub(super) received: Vec<(Transport, ExportRequest)>,
    pub(super) responses: Vec<(Transport, ResponseStatus)>,
}

/// Records its calls and returns a fixed result.
pub(super) struct FakeReceiver {
    result: Result<ExportResult, ReceiveError>,
    pub(super) calls: Mutex<RecordedCalls>,
}

impl ScriptedBody {
    pub(super) fn new(events: impl IntoIterator<Item = BodyEvent>) -> Self {
        Self { events: events.into_iter().collect(), waiting: None }
    }

    /// Creates a body of these pieces.
    pub(super) fn pieces<T: AsRef<[u8]>>(pieces: impl IntoIterator<Item = T>) -> Self {
        let pieces = pieces.into_iter();
        Self::new(pieces.map(|piece| BodyEvent::Data(Bytes::copy_from_slice(piece.as_ref()))))
    }

    /// Creates a body of single bytes.
    pub(super) fn byte_by_byte(bytes: &[u8]) -> Self {
        Self::pieces(bytes.chunks(1))
    }

    pub(super) fn then(mut self, event: BodyEvent) -> Self {
        self.events.push_back(event);
        self
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                std::task::ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            match self.events.pop_front() {
                None => return Poll::Ready(None),
                Some(BodyEvent::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(BodyEvent::Trailers) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new()))));
                }
                Some(BodyEvent::Fail(error)) => return Poll::Ready(Some(Err(error))),
                Some(BodyEvent::Wait(time)) => self.waiting = Some(Box::pin(sleep(time))),
                Some(BodyEvent::MarkReached(reached)) => reached.store(true, Ordering::Relaxed),
                Some(BodyEvent::Stall) => {
                    self.events.push_front(BodyEvent::Stall);
                    return Poll::Pending;
                }
                Some(BodyEvent::PanicIfPolled) => panic!("the body was polled again"),
                Some(BodyEvent::PanicIfAlive(guard)) => {
                    assert_eq!(guard.strong_count(), 0, "the request's head is still held");
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.events.is_empty() && self.waiting.is_none()
    }
}

impl HoldBack for ScriptedBody {}

impl FakeReceiver {
    /// Accepts everything.
    pub(super) fn accepting() -> Self {
        Self::returning(Ok(ExportResult::default()))
    }

    pub(super) fn returning(result: Result<ExportResult, ReceiveError>) -> Self {
        Self { result, calls: Mutex::default() }
    }

    /// Returns a handler that passes requests of up to `max_bytes` to this receiver.
    pub(super) fn handler(self, max_bytes: usize) -> ExportHandler<Self, Self> {
        let receiver = Arc::new(self);
        let monitor = Arc::clone(&receiver);
        ExportHandler { receiver, monitor, reader: BodyReader::new(max_bytes), origins: None }
    }
}

impl ReceivePort for FakeReceiver {
    async fn receive(
        &self,
        transport: Transport,
        request: ExportRequest,
    ) -> Result<ExportResult, ReceiveError> {
        self.calls.lock().received.push((transport, request));
        self.result.clone()
    }
}

impl Monitor for FakeReceiver {
    fn responded(&self, transport: Transport, status: ResponseStatus) {
        self.calls.lock().responses.push((transport, status));
    }

    fn accepted(&self, _: Transport, _: u64) {}

    fn refused(&self, _: Transport, _: RefusalReason, _: u64) {}

    fn misdirected(&self, _: Transport) {}

    fn delivered(&self, _: Duration) {}

    fn send_failed(&self, _: &Failure, _: Duration) {}
}

/// Returns a request made by `request` whose body fails the test if it is read while the head is
/// held, and a flag that is set when it was read to its end.
pub(super) fn watching_head(
    request: impl FnOnce(ScriptedBody) -> Request<ScriptedBody>,
) -> (Request<ScriptedBody>, Arc<AtomicBool>) {
    let guard = Arc::new(());
    let read = Arc::new(AtomicBool::new(false));
    let watch = || BodyEvent::PanicIfAlive(Arc::downgrade(&guard));
    let body = ScriptedBody::new([
        watch(),
        BodyEvent::Data(Bytes::from_static(b"\0\0")),
        watch(),
        BodyEvent::MarkReached(Arc::clone(&read)),
    ]);
    let mut request = request(body);
    request.extensions_mut().insert(guard);
    (request, read)
}

/// One gzip member.
pub(super) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// One zstd frame.
pub(super) fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).unwrap()
}

/// A framed gRPC message: compressed flag, length, message.
pub(super) fn frame_message(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[flag][..], &length.to_be_bytes(), message].concat()
}

/// A serialized request with one valid span.
pub(super) fn one_span() -> Vec<u8> {
    serialized(vec![span([1; 16])])
}

/// A serialized request with an invalid span followed by a valid one.
pub(super) fn two_spans_one_invalid() -> Vec<u8> {
    serialized(vec![span([0; 16]), span([1; 16])])
}

fn span(trace_id: [u8; 16]) -> Span {
    Span { trace_id: trace_id.to_vec(), span_id: vec![2; 8], ..Span::default() }
}

fn serialized(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}
