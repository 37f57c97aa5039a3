//! Reading a request's message into memory that is reserved before it is read.

mod budget;
mod chunks;
mod decompress;

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::time::timeout;

use super::request_error::RequestError;
use super::wire::grpc;
use crate::domain::bounds;
use crate::domain::units::ByteSize;
use budget::{BudgetPermit, ReadBudget};
use chunks::BodyChunks;
use decompress::{DecompressStatus, DecompressorPool};

pub(super) use decompress::Encoding;

/// How long a message may take from its first byte to its last.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a sender may pause in the middle of a message that holds memory of the budget, which
/// other requests may be waiting for.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Memory for messages of unknown length is reserved in steps of at least this.
const GROWTH_STEP_BYTES: usize = 64 << 10;
/// Typical compression ratio of traces, rounded up.
const TYPICAL_COMPRESSION_RATIO: usize = 8;

/// Reads messages. One per process, so that all connections share its budget.
pub(super) struct BodyReader {
    budget: ReadBudget,
    decompressors: DecompressorPool,
    max_bytes: usize,
}

/// A whole message, decompressed.
#[derive(Debug)]
pub(super) struct RequestMessage {
    pub(super) bytes: Bytes,
    /// Keeps the memory charged until the message is stored.
    _permit: Option<BudgetPermit>,
}

/// What determines the memory of a message while it is read and converted.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadOptions {
    pub(super) encoding: Encoding,
    /// Copies of the message that exist at the same time.
    pub(super) copies: usize,
}

impl BodyReader {
    /// Creates a reader of messages of up to `max_bytes`, decompressed.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { budget: ReadBudget::new(), decompressors: DecompressorPool::default(), max_bytes }
    }

    /// Reads an HTTP body.
    pub(super) async fn read_http<B>(
        &self,
        body: B,
        length: Option<u64>,
        options: ReadOptions,
    ) -> Result<RequestMessage, RequestError>
    where
        B: Body<Data = Bytes, Error: Display> + Unpin,
    {
        timeout(READ_TIMEOUT, async {
            let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
            self.read(&mut BodyChunks::new(body), length, options).await
        })
        .await
        .unwrap_or_else(|_| Err(read_timeout_error()))
    }

    /// Reads the one message of a unary gRPC request; `encoding` is what `grpc-encoding` names, and
    /// `deadline` is how long the client waits. It ends the wait for memory, too.
    pub(super) async fn read_grpc<B>(
        &self,
        body: B,
        encoding: Encoding,
        deadline: Option<Duration>,
    ) -> Result<RequestMessage, RequestError>
    where
        B: Body<Data = Bytes, Error: Display> + Unpin,
    {
        let deadline = deadline.filter(|deadline| *deadline < READ_TIMEOUT);
        timeout(deadline.unwrap_or(READ_TIMEOUT), async {
            let mut chunks = BodyChunks::new(body);
            let (flag, length) = grpc::split_prefix(chunks.read_prefix().await?);
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
            self.read(&mut chunks, Some(length), ReadOptions { encoding, copies: 1 }).await
        })
        .await
        .unwrap_or_else(|_| Err(deadline.map_or_else(read_timeout_error, deadline_error)))
    }

    /// Returns a small message that arrived whole without copying it. The other cases are boxed, to
    /// keep the future of every open request small.
    async fn read<B>(
        &self,
        chunks: &mut BodyChunks<B>,
        length: Option<usize>,
        options: ReadOptions,
    ) -> Result<RequestMessage, RequestError>
    where
        B: Body<Data = Bytes, Error: Display> + Unpin,
    {
        if let Some(length) = length.filter(|length| *length > self.max_bytes) {
            return Err(self.too_large(length));
        }
        if options.encoding != Encoding::Identity {
            return Box::pin(self.read_compressed(chunks, options)).await;
        }
        let first = chunks.next().await?.unwrap_or_default();
        if length == Some(first.len()) {
            chunks.expect_end().await?;
            return Ok(RequestMessage { bytes: first, _permit: None });
        }
        Box::pin(self.read_identity(chunks, first, length, options)).await
    }

    async fn read_identity<B>(
        &self,
        chunks: &mut BodyChunks<B>,
        first: Bytes,
        length: Option<usize>,
        options: ReadOptions,
    ) -> Result<RequestMessage, RequestError>
    where
        B: Body<Data = Bytes, Error: Display> + Unpin,
    {
        let mut buffer = BudgetedBuffer::new(self, options);
        buffer.reserve(length.unwrap_or(first.len())).await?;
        buffer.bytes.extend_from_slice(&first);
        while let Some(chunk) = with_idle_timeout(chunks.next()).await? {
            buffer.reserve(chunk.len()).await?;
            buffer.bytes.extend_from_slice(&chunk);
        }
        buffer.finish()
    }

    async fn read_compressed<B>(
        &self,
        chunks: &mut BodyChunks<B>,
        options: ReadOptions,
    ) -> Result<RequestMessage, RequestError>
    where
        B: Body<Data = Bytes, Error: Display> + Unpin,
    {
        let mut buffer = BudgetedBuffer::new(self, options);
        let mut acquired = None;
        let mut compressed = 0;
        while let Some(chunk) = with_idle_timeout(chunks.next()).await? {
            // Also bounds the work: an endless sequence of empty members produces no output.
            compressed += chunk.len();
            if compressed > self.max_bytes {
                return Err(self.too_large(compressed));
            }
            let decompressor = match &mut acquired {
                Some(decompressor) => decompressor,
                none => {
                    buffer.reserve(self.estimated_size(chunk.len())).await?;
                    none.insert(self.decompressors.acquire(options.encoding)?)
                }
            };
            decompressor.feed(chunk);
            while decompressor.step(&mut buffer.bytes)? == DecompressStatus::NeedsOutput {
                buffer.reserve(1).await?;
            }
        }
        let decompressor = acquired.ok_or_else(decompress::incomplete_error)?;
        decompressor.finish()?;
        self.decompressors.release(decompressor);
        buffer.finish()
    }

    /// Returns the typical decompressed size of so many compressed bytes, at most one step.
    fn estimated_size(&self, compressed: usize) -> usize {
        (compressed * TYPICAL_COMPRESSION_RATIO).clamp(2, GROWTH_STEP_BYTES).min(self.max_bytes)
    }

    fn too_large(&self, found: usize) -> RequestError {
        let limit = self.max_bytes;
        // What is still to come of a request is not known, so the value that would do is a guess.
        let enough = ByteSize(found.checked_next_power_of_two().unwrap_or(usize::MAX) as u64);
        let remedy = if enough.0 > bounds::MAX_REQUEST_BYTES.max {
            String::new()
        } else {
            format!(" or raise the limit (TRACEBUFFER_MAX_REQUEST_BYTES={enough})")
        };
        RequestError::too_large(format!(
            "the request has {found} bytes, the limit is {limit} (before and after decompression): \
             send smaller batches{remedy}"
        ))
    }
}

/// A buffer that reserves memory in the budget before it grows.
struct BudgetedBuffer<'a> {
    reader: &'a BodyReader,
    bytes: Vec<u8>,
    permit: Option<BudgetPermit>,
    copies: usize,
    /// Memory of the decompressor in addition to the message.
    decoder_bytes: usize,
}

impl<'a> BudgetedBuffer<'a> {
    fn new(reader: &'a BodyReader, options: ReadOptions) -> Self {
        let (window_copies, extra) = options.encoding.decoder_memory();
        let copies = options.copies + window_copies;
        Self { reader, bytes: Vec::new(), permit: None, copies, decoder_bytes: extra }
    }

    /// Grows the capacity to hold `more` bytes, up to one byte past the limit.
    async fn reserve(&mut self, more: usize) -> Result<(), RequestError> {
        let needed = self.bytes.len() + more;
        // One byte past the limit, to distinguish a message of exactly the limit from a larger one.
        let max_capacity = self.reader.max_bytes + 1;
        if needed > max_capacity {
            return Err(self.reader.too_large(needed));
        }
        if needed <= self.bytes.capacity() {
            return Ok(());
        }
        let step = if self.bytes.is_empty() && more > 1 { 0 } else { GROWTH_STEP_BYTES };
        let wanted = needed.max(self.bytes.capacity() + self.bytes.capacity() / 2).max(step);
        let capacity = wanted.min(max_capacity);
        self.acquire_budget(capacity).await?;
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }

    async fn acquire_budget(&mut self, capacity: usize) -> Result<(), RequestError> {
        let bytes = capacity.saturating_mul(self.copies) + self.decoder_bytes;
        let budget = &self.reader.budget;
        match &mut self.permit {
            None => self.permit = Some(budget.acquire(bytes).await?),
            Some(permit) => budget.grow(permit, bytes).await?,
        }
        Ok(())
    }

    fn finish(self) -> Result<RequestMessage, RequestError> {
        if self.bytes.len() > self.reader.max_bytes {
            return Err(self.reader.too_large(self.bytes.len()));
        }
        Ok(RequestMessage { bytes: self.bytes.into(), _permit: self.permit })
    }
}

/// Fails if a sender stops sending, so that it does not hold memory that others wait for.
async fn with_idle_timeout<T>(
    next: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, RequestError> {
    timeout(IDLE_TIMEOUT, next).await.unwrap_or_else(|_| {
        let seconds = IDLE_TIMEOUT.as_secs();
        Err(RequestError::timed_out(format!("no data of the request arrived for {seconds} s")))
    })
}

fn read_timeout_error() -> RequestError {
    let seconds = READ_TIMEOUT.as_secs();
    RequestError::timed_out(format!("the request was not complete after {seconds} s"))
}

fn deadline_error(deadline: Duration) -> RequestError {
    RequestError::timed_out(format!("the call's deadline of {deadline:?} passed (grpc-timeout)"))
}

#[cfg(test)]
mod tests;
