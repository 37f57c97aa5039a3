//! The body of a request, as it arrives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::width::{STREAM_WINDOW, Width};

/// A body whose reader decides when the sender may continue.
///
/// By default the sender may continue as soon as the reader has taken what was sent. A reader that
/// calls [`HoldBack::hold_back`] takes what arrives anyway, which bounds the memory of unread frames,
/// and calls [`HoldBack::release`] when it has memory for more. The default methods do nothing, for
/// bodies without flow control.
pub trait HoldBack {
    /// Bytes that arrive before the sender is let send more, at most.
    fn window(&self) -> usize {
        STREAM_WINDOW as usize
    }

    /// From now on, only [`HoldBack::release`] lets the sender continue.
    fn hold_back(&mut self) {}

    /// Lets the sender send `bytes` more.
    fn release(&mut self, bytes: usize) {
        let _ = bytes;
    }
}

impl<T: HoldBack> HoldBack for &mut T {
    fn window(&self) -> usize {
        T::window(self)
    }

    fn hold_back(&mut self) {
        T::hold_back(self);
    }

    fn release(&mut self, bytes: usize) {
        T::release(self, bytes);
    }
}

/// The body of a request over HTTP/1.1 or HTTP/2. Trailers are discarded.
#[derive(Debug)]
pub struct RequestBody {
    source: Source,
    window: u32,
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// HTTP/1.1 framing, or the connection.
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    /// The stream or the connection.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

#[derive(Debug)]
enum Source {
    /// Held back by the bounded read buffer of its connection while it is not polled.
    Http1(Incoming),
    Http2 {
        stream: RecvStream,
        left: Option<u64>,
        held_back: bool,
    },
}

impl RequestBody {
    /// Creates the body of an HTTP/1.1 request.
    pub(super) const fn http1(body: Incoming, width: &Width) -> Self {
        Self { source: Source::Http1(body), window: width.window }
    }

    /// Creates the body of an HTTP/2 request; `length` is its `content-length`, which h2 enforces.
    pub(super) const fn http2(stream: RecvStream, length: Option<u64>, width: &Width) -> Self {
        let source = Source::Http2 { stream, left: length, held_back: false };
        Self { source, window: width.window }
    }
}

impl HoldBack for RequestBody {
    fn window(&self) -> usize {
        self.window as usize
    }

    fn hold_back(&mut self) {
        if let Source::Http2 { held_back, .. } = &mut self.source {
            *held_back = true;
        }
    }

    fn release(&mut self, bytes: usize) {
        if let Source::Http2 { stream, .. } = &mut self.source {
            // Fails only for more bytes than were received.
            let _ = stream.flow_control().release_capacity(bytes);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Http1(body) => poll_http1(body, cx),
            Source::Http2 { stream, left, held_back } => {
                let Some(data) = ready!(stream.poll_data(cx)?) else {
                    // Takes the trailers, which would otherwise stay in memory with the stream.
                    let _ = stream.poll_trailers(cx);
                    return Poll::Ready(None);
                };
                if !*held_back {
                    stream.flow_control().release_capacity(data.len())?;
                }
                *left = left.map(|left| left.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Http1(body) => body.is_end_stream(),
            Source::Http2 { stream, .. } => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Http1(body) => body.size_hint(),
            Source::Http2 { left, .. } => left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

fn poll_http1(
    body: &mut Incoming,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(cx)?) {
            Some(frame) if frame.is_trailers() => {}
            frame => return Poll::Ready(frame.map(Ok)),
        }
    }
}
