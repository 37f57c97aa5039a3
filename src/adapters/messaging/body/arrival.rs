//! The bytes of one message as they arrive, within the memory that its request holds.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::OptionFuture;
use http_body::Body;
use tokio::time::timeout;

use super::chunks::BodyChunks;
use super::open_requests::{OWN_BYTES, OpenRequest, WHOLE_SHARE_BYTES};
use crate::adapters::messaging::request_error::RequestError;
use crate::adapters::server::HoldBack;

/// How long a sender may pause. Only to end requests that nobody will ever complete: a slow sender that
/// others wait for goes much earlier.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Most of a full frame of HTTP/2.
const FRAME_BYTES: usize = 15 << 10;

/// The bytes received so far.
pub(super) struct Arrival<'a> {
    request: &'a OpenRequest<'a>,
    bytes: Vec<u8>,
    /// How many bytes the message has, if that is known.
    length: Option<usize>,
    /// How many bytes the message has, or at most has.
    max_bytes: usize,
    /// Bytes that may arrive.
    reserved: usize,
    /// Bytes that may arrive before the sender is let send more.
    window: usize,
    /// Bytes that the sender was let send in addition.
    released: usize,
}

impl<'a> Arrival<'a> {
    pub(super) const fn new(
        request: &'a OpenRequest<'a>,
        length: Option<usize>,
        max_bytes: usize,
        window: usize,
    ) -> Self {
        let bytes = Vec::new();
        Self { request, bytes, length, max_bytes, reserved: window, window, released: 0 }
    }

    /// Reads the rest of a body whose first chunk has been read. Stops after the first byte beyond the
    /// maximum.
    pub(super) async fn collect<B>(
        mut self,
        first: Bytes,
        chunks: &mut BodyChunks<B>,
    ) -> Result<Vec<u8>, RequestError>
    where
        B: Body<Data = Bytes, Error: Display> + HoldBack + Unpin,
    {
        let request = self.request;
        let mut reservation = None;
        let mut arrived = Some(first);
        while self.bytes.len() <= self.max_bytes {
            let length = self.bytes.len() + arrived.as_ref().map_or(0, Bytes::len);
            if self.reserved < self.max_bytes
                && length >= self.reservation_mark()
                && reservation.is_none()
            {
                let wanted = self.next_reservation(length);
                if request.try_reserve(wanted) {
                    self.reserved = wanted;
                } else if length >= self.waiting_mark() {
                    reservation =
                        Some(Box::pin(
                            async move { request.reserve(wanted).await.map(|()| wanted) },
                        ));
                }
            }
            if let Some(chunk) = arrived.take() {
                self.add(&chunk)?;
                continue;
            }
            self.release(chunks);
            tokio::select! {
                biased;
                // What the sender may still send is read while the request waits for memory.
                chunk = next_chunk(request, chunks),
                    if reservation.is_none() || self.bytes.len() < self.reserved => match chunk? {
                        Some(chunk) => arrived = Some(chunk),
                        None => break,
                    },
                Some(reserved) = OptionFuture::from(reservation.as_mut()) => {
                    self.reserved = reserved?;
                    reservation = None;
                }
            }
        }
        Ok(self.bytes)
    }

    /// Whether the message is too large to share memory: then it does not take a part of it first.
    fn is_large(&self) -> bool {
        self.length.is_some_and(|length| length > WHOLE_SHARE_BYTES)
    }

    /// Returns how many bytes must have arrived before more memory is reserved. Of a large message, most
    /// of what its sender may send: others wait for the same memory. Otherwise a frame is enough, so that
    /// less is copied when there is memory for all of it.
    fn reservation_mark(&self) -> usize {
        match self.length {
            Some(_) if self.is_large() => self.waiting_mark(),
            Some(_) => FRAME_BYTES.min(self.reserved / 2),
            None => self.reserved / 2,
        }
    }

    /// Returns how many bytes must have arrived before the request waits for memory: most of what its
    /// sender may send, so that slow senders do not wait before others. Not all, because h2 does not tell
    /// the sender of the last released bytes.
    const fn waiting_mark(&self) -> usize {
        self.reserved / 8 * 7
    }

    /// Returns the memory to reserve next: for all of a message whose length is known, so that nobody
    /// waits for more while others wait for what it has; otherwise in few steps, because each copies what
    /// has arrived.
    fn next_reservation(&self, length: usize) -> usize {
        let next = match self.reserved {
            _ if self.length.is_some() => self.max_bytes,
            reserved if reserved < OWN_BYTES => OWN_BYTES,
            reserved if reserved < WHOLE_SHARE_BYTES => (4 * reserved).min(WHOLE_SHARE_BYTES),
            reserved => 4 * reserved,
        };
        next.max(length).min(self.max_bytes)
    }

    fn add(&mut self, chunk: &[u8]) -> Result<(), RequestError> {
        let capacity = self.capacity_for(self.bytes.len() + chunk.len());
        self.request.received(chunk.len(), capacity)?;
        self.bytes.reserve_exact(capacity - self.bytes.len());
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// Returns the capacity for `length` bytes: all that is reserved, or steps that double while nothing
    /// is.
    fn capacity_for(&self, length: usize) -> usize {
        if length <= self.bytes.capacity() {
            return self.bytes.capacity();
        }
        let reserved = self.reserved.min(self.max_bytes);
        let step = if self.reserved > OWN_BYTES { reserved } else { 2 * length };
        step.min(reserved).max(length)
    }

    /// Lets the sender fill what is reserved.
    fn release<B>(&mut self, chunks: &mut BodyChunks<B>)
    where
        B: Body<Data = Bytes, Error: Display> + HoldBack + Unpin,
    {
        let received = self.bytes.len();
        let releasable = if self.reserved >= self.max_bytes {
            received
        } else {
            received.min(self.reserved - self.window)
        };
        if releasable > self.released {
            chunks.release(releasable - self.released);
            self.released = releasable;
        }
    }
}

/// Returns the next chunk, unless the request is cut off.
pub(super) async fn next_chunk<B>(
    request: &OpenRequest<'_>,
    chunks: &mut BodyChunks<B>,
) -> Result<Option<Bytes>, RequestError>
where
    B: Body<Data = Bytes, Error: Display> + HoldBack + Unpin,
{
    tokio::select! {
        biased;
        chunk = timeout(IDLE_TIMEOUT, chunks.next()) => chunk.unwrap_or_else(|_| {
            let seconds = IDLE_TIMEOUT.as_secs();
            Err(RequestError::timed_out(format!("no data of the request arrived for {seconds} s")))
        }),
        error = request.cut_off() => Err(error),
    }
}
