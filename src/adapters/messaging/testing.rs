//! Bodies that do what a script says, and a receiver that keeps what it gets.

use std::collections::VecDeque;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http_body::{Body, Frame};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use parking_lot::Mutex;
use prost::Message;
use tokio::time::{Sleep, sleep};

use super::body::BodyReader;
use super::door::Door;
use crate::domain::answer::Answer;
use crate::ports::monitor::Transport;
use crate::ports::receive::{Receipt, ReceiveError, ReceivePort, Submission};

/// What a body does next.
#[derive(Debug)]
pub(super) enum Event {
    Data(Bytes),
    Trailers,
    Wait(Duration),
    Fail(&'static str),
    /// Nothing more comes, and no end.
    Stall,
    /// Notes that it was read so far.
    Note(Arc<AtomicBool>),
    /// Being asked for more would be a mistake.
    Forbidden,
}

/// A body that does what its script says, and then ends.
#[derive(Debug)]
pub(super) struct ScriptedBody {
    events: VecDeque<Event>,
    waiting: Option<Pin<Box<Sleep>>>,
}

/// What a [`FakeReceiver`] was told.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) received: Vec<(Transport, Submission)>,
    pub(super) answered: Vec<(Transport, Answer)>,
}

/// Keeps what it gets and answers what it was told to.
pub(super) struct FakeReceiver {
    answer: Result<Receipt, ReceiveError>,
    pub(super) notes: Mutex<Notes>,
}

impl ScriptedBody {
    pub(super) fn new(events: impl IntoIterator<Item = Event>) -> Self {
        Self { events: events.into_iter().collect(), waiting: None }
    }

    /// Comes in these pieces.
    pub(super) fn pieces<T: AsRef<[u8]>>(pieces: impl IntoIterator<Item = T>) -> Self {
        let pieces = pieces.into_iter();
        Self::new(pieces.map(|piece| Event::Data(Bytes::copy_from_slice(piece.as_ref()))))
    }

    /// Comes byte by byte.
    pub(super) fn dribbled(bytes: &[u8]) -> Self {
        Self::pieces(bytes.chunks(1))
    }

    pub(super) fn then(mut self, event: Event) -> Self {
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
                Some(Event::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Event::Trailers) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new()))));
                }
                Some(Event::Fail(error)) => return Poll::Ready(Some(Err(error))),
                Some(Event::Wait(time)) => self.waiting = Some(Box::pin(sleep(time))),
                Some(Event::Note(reached)) => reached.store(true, Ordering::Relaxed),
                Some(Event::Stall) => {
                    self.events.push_front(Event::Stall);
                    return Poll::Pending;
                }
                Some(Event::Forbidden) => panic!("the body was asked for more"),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.events.is_empty() && self.waiting.is_none()
    }
}

impl FakeReceiver {
    /// Takes everything.
    pub(super) fn accepting() -> Self {
        Self::answering(Ok(Receipt::default()))
    }

    pub(super) fn answering(answer: Result<Receipt, ReceiveError>) -> Self {
        Self { answer, notes: Mutex::default() }
    }

    /// A way in that leads here, for requests of up to `max_bytes`.
    pub(super) fn door(self, max_bytes: usize) -> Door<Self> {
        Door { receiver: Arc::new(self), reader: BodyReader::new(max_bytes) }
    }
}

impl ReceivePort for FakeReceiver {
    async fn receive(
        &self,
        transport: Transport,
        submission: Submission,
    ) -> Result<Receipt, ReceiveError> {
        self.notes.lock().received.push((transport, submission));
        self.answer.clone()
    }

    fn answered(&self, transport: Transport, answer: Answer) {
        self.notes.lock().answered.push((transport, answer));
    }
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

/// A gRPC message: its compressed flag, its length, itself.
pub(super) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[flag][..], &length.to_be_bytes(), message].concat()
}

/// A serialized request with one valid span.
pub(super) fn one_span() -> Vec<u8> {
    serialized(vec![span([1; 16])])
}

/// The same with an invalid span in front.
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
