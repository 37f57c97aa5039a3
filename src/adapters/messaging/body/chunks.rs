//! A body as a sequence of chunks.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Buf, Bytes};
use http_body::Body;

use crate::adapters::messaging::request_error::RequestError;
use crate::adapters::server::HoldBack;

/// Returns a body's data in order and checks its length. The sender is held back until its data is
/// released.
pub(super) struct BodyChunks<B> {
    body: B,
    pending: Bytes,
    /// Bytes still expected, if the length is known.
    remaining: Option<usize>,
}

impl<B> BodyChunks<B>
where
    B: Body<Data = Bytes, Error: Display> + HoldBack + Unpin,
{
    pub(super) fn new(mut body: B) -> Self {
        body.hold_back();
        Self { body, pending: Bytes::new(), remaining: None }
    }

    /// From now on, exactly `length` bytes must follow.
    pub(super) fn expect_length(&mut self, length: usize) {
        self.remaining = Some(length);
    }

    /// Returns how many bytes arrive before the sender is let send more, at most.
    pub(super) fn window(&self) -> usize {
        self.body.window()
    }

    /// Lets the sender send `bytes` more.
    pub(super) fn release(&mut self, bytes: usize) {
        self.body.release(bytes);
    }

    /// Moves the beginning of `chunk` to `target` and puts the rest back; returns how many bytes were
    /// moved.
    pub(super) fn take(&mut self, mut chunk: Bytes, target: &mut [u8]) -> usize {
        let count = chunk.len().min(target.len());
        chunk.copy_to_slice(target.get_mut(..count).unwrap_or_default());
        self.pending = chunk;
        self.release(count);
        count
    }

    /// Returns the next chunk, never empty; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, RequestError> {
        if self.remaining == Some(0) {
            return self.expect_end().await.map(|()| None);
        }
        let chunk = if self.pending.is_empty() {
            self.next_data().await?
        } else {
            Some(std::mem::take(&mut self.pending))
        };
        let Some(left) = &mut self.remaining else { return Ok(chunk) };
        let length = chunk.as_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            _ if length == 0 => Err(RequestError::malformed(format!(
                "the request ended {left} bytes before its message was complete"
            ))),
            Some(rest) => {
                *left = rest;
                Ok(chunk)
            }
            None => Err(trailing_data_error()),
        }
    }

    /// Checks that no more data follows.
    pub(super) async fn expect_end(&mut self) -> Result<(), RequestError> {
        if !self.pending.is_empty() {
            return Err(trailing_data_error());
        }
        if self.body.is_end_stream() {
            return Ok(());
        }
        self.next_data().await?.map_or(Ok(()), |_| Err(trailing_data_error()))
    }

    async fn next_data(&mut self) -> Result<Option<Bytes>, RequestError> {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(body_error(&error)),
                // Trailers are ignored: neither protocol gives a request trailers.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(Some(data)),
                    Err(_) => {}
                },
            }
        }
    }
}

fn trailing_data_error() -> RequestError {
    RequestError::malformed("unexpected data after the request's message")
}

fn body_error(error: &impl Display) -> RequestError {
    RequestError::malformed(format!("the request's body could not be read: {error}"))
}
