//! Reading a request's message, within the memory that its request holds.

mod arrival;
mod chunks;
mod decompress;
mod open_requests;

use std::fmt::Display;

use bytes::Bytes;
use http_body::Body;
use tokio::task::yield_now;

use self::arrival::{Arrival, next_chunk};
use self::chunks::BodyChunks;
use self::decompress::{DecompressorPool, ExpectedSize};
use self::open_requests::{OWN_BYTES, OpenRequests};
use super::request_error::RequestError;
use super::wire::grpc;
use crate::adapters::server::{HoldBack, Peer};
use crate::domain::bounds;
use crate::domain::units::ByteSize;

pub(super) use self::decompress::Encoding;
pub(super) use self::open_requests::OpenRequest;

/// Memory for decompressing and converting a message that is not reserved: this happens in one go, so
/// each worker thread needs it only once.
const BURST_BYTES: usize = 256 << 10;

/// Reads messages. One per process, so that all connections share its memory.
pub(super) struct BodyReader {
    open_requests: OpenRequests,
    decompressors: DecompressorPool,
    max_bytes: usize,
}

/// How large a refused message is.
#[derive(Clone, Copy, Debug)]
enum RequestSize {
    Exactly(usize),
    /// The rest was not received or decompressed.
    AtLeast(usize),
}

/// What determines the memory of a message while it is decompressed and converted.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadOptions {
    pub(super) encoding: Encoding,
    /// Copies of the message that exist at the same time.
    pub(super) copies: usize,
}

impl BodyReader {
    /// Creates a reader of messages of up to `max_bytes`, decompressed.
    pub(super) fn new(max_bytes: usize) -> Self {
        let (open_requests, decompressors) = (OpenRequests::default(), DecompressorPool::default());
        Self { open_requests, decompressors, max_bytes }
    }

    /// Begins a request; fails if too many are being read.
    pub(super) fn open(&self, peer: Peer) -> Result<OpenRequest<'_>, RequestError> {
        self.open_requests.open(peer)
    }

    /// Reads an HTTP body.
    pub(super) async fn read_http<B>(
        &self,
        request: &OpenRequest<'_>,
        body: B,
        length: Option<u64>,
        options: ReadOptions,
    ) -> Result<Bytes, RequestError>
    where
        B: Body<Data = Bytes, Error: Display> + HoldBack + Unpin,
    {
        let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        self.read(request, &mut BodyChunks::new(body), length, options).await
    }

    /// Reads the one message of a unary gRPC request; `encoding` is what `grpc-encoding` names.
    pub(super) async fn read_grpc<B>(
        &self,
        request: &OpenRequest<'_>,
        body: B,
        encoding: Encoding,
    ) -> Result<Bytes, RequestError>
    where
        B: Body<Data = Bytes, Error: Display> + HoldBack + Unpin,
    {
        let mut chunks = BodyChunks::new(body);
        let (flag, length) = grpc::split_prefix(self.read_prefix(request, &mut chunks).await?);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let encoding = match flag {
            0 => Encoding::Identity,
            1 if encoding == Encoding::Identity => {
                return Err(RequestError::undeclared_compression());
            }
            1 => encoding,
            other => {
                return Err(RequestError::malformed(format!(
                    "the gRPC message's compressed flag is {other}, must be 0 or 1"
                )));
            }
        };
        chunks.expect_length(length);
        self.read(request, &mut chunks, Some(length), ReadOptions { encoding, copies: 1 }).await
    }

    async fn read_prefix<B>(
        &self,
        request: &OpenRequest<'_>,
        chunks: &mut BodyChunks<B>,
    ) -> Result<[u8; grpc::PREFIX_BYTES], RequestError>
    where
        B: Body<Data = Bytes, Error: Display> + HoldBack + Unpin,
    {
        let mut prefix = [0; grpc::PREFIX_BYTES];
        let mut filled = 0;
        while filled < prefix.len() {
            let Some(chunk) = next_chunk(request, chunks).await? else {
                let message = "the request ended before its first message";
                return Err(RequestError::malformed(message));
            };
            filled += chunks.take(chunk, prefix.get_mut(filled..).unwrap_or_default());
        }
        Ok(prefix)
    }

    /// Returns a small message that arrived whole without copying it. The other cases are boxed, to
    /// keep the future of every open request small.
    async fn read<B>(
        &self,
        request: &OpenRequest<'_>,
        chunks: &mut BodyChunks<B>,
        length: Option<usize>,
        options: ReadOptions,
    ) -> Result<Bytes, RequestError>
    where
        B: Body<Data = Bytes, Error: Display> + HoldBack + Unpin,
    {
        if let Some(length) = length.filter(|length| *length > self.max_bytes) {
            return Err(self.too_large(RequestSize::Exactly(length)));
        }
        let first = next_chunk(request, chunks).await?.unwrap_or_default();
        let received = if length == Some(first.len()) {
            chunks.expect_end().await?;
            first
        } else {
            let max_bytes = length.unwrap_or(self.max_bytes);
            let arrival = Arrival::new(request, length, max_bytes, chunks.window());
            trimmed(Box::pin(arrival.collect(first, chunks)).await?)
        };
        if received.len() > self.max_bytes {
            return Err(self.too_large(RequestSize::Exactly(received.len())));
        }
        if options.encoding == Encoding::Identity && options.copies == 1 {
            return Ok(received);
        }
        Box::pin(self.expand(request, received, options)).await
    }

    /// Decompresses a message, with the memory for that and for its conversion.
    async fn expand(
        &self,
        request: &OpenRequest<'_>,
        received: Bytes,
        options: ReadOptions,
    ) -> Result<Bytes, RequestError> {
        let ReadOptions { encoding, copies } = options;
        if encoding == Encoding::Identity {
            reserve_unless_small(request, received.len() * copies).await?;
            return Ok(received);
        }
        let ExpectedSize { at_least, likely, at_most } =
            decompress::expected_size(encoding, &received)?;
        if at_least > self.max_bytes {
            return Err(self.too_large(RequestSize::AtLeast(at_least)));
        }
        let (likely, at_most) = (likely.min(self.max_bytes), at_most.min(self.max_bytes));
        for size in
            [Some(likely), Some(at_most).filter(|size| *size > likely)].into_iter().flatten()
        {
            // Nothing of the first attempt is kept, and others may wait for its memory.
            request.reduce_to(received.len());
            reserve_unless_small(request, received.len() + size * copies).await?;
            // One byte more, to distinguish a message of exactly the limit from a larger one.
            let decompressed = self.decompressors.decompress(encoding, &received, size + 1)?;
            if size > BURST_BYTES {
                // Everybody else has a turn before the next large message, which waits for this memory.
                yield_now().await;
            }
            if let Some(message) = decompressed.filter(|message| message.len() <= size) {
                return Ok(trimmed(message));
            }
        }
        Err(self.too_large(RequestSize::AtLeast(self.max_bytes + 1)))
    }

    fn too_large(&self, size: RequestSize) -> RequestError {
        let limit = self.max_bytes;
        let (found, text) = match size {
            RequestSize::Exactly(bytes) => (bytes, format!("{bytes} bytes")),
            RequestSize::AtLeast(bytes) => (bytes, format!("{bytes} bytes or more")),
        };
        // What is still to come of a request is not known, so the value that would do is a guess.
        let enough = ByteSize(found.checked_next_power_of_two().unwrap_or(usize::MAX) as u64);
        let remedy = if enough.0 > bounds::MAX_REQUEST_BYTES.max {
            String::new()
        } else {
            format!(" or raise the limit (TRACEBUFFER_MAX_REQUEST_BYTES={enough})")
        };
        RequestError::too_large(format!(
            "the request has {text}, the limit is {limit} (before and after decompression): \
             send smaller batches{remedy}"
        ))
    }
}

/// Waits for memory, unless it is needed only while this task runs without interruption.
async fn reserve_unless_small(request: &OpenRequest<'_>, bytes: usize) -> Result<(), RequestError> {
    if bytes > OWN_BYTES + BURST_BYTES { request.reserve(bytes).await } else { Ok(()) }
}

/// Frees unused capacity, which would live as long as the record.
fn trimmed(mut bytes: Vec<u8>) -> Bytes {
    if bytes.capacity() - bytes.len() > bytes.len() / 16 {
        bytes.shrink_to_fit();
    }
    bytes.into()
}

#[cfg(test)]
mod tests;
