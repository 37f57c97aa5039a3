//! Reading a request's message into memory, within bounds taken before it is read.

mod budget;
mod chunks;
mod inflate;

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::time::timeout;

use super::refused::Refused;
use budget::{Permit, ReadBudget};
use chunks::Chunks;
use inflate::{Inflaters, Wants};

pub(super) use inflate::Encoding;

/// How long a message may take from its first byte to its last.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a sender may be silent in the middle of a message that is read into memory of its own,
/// which others may be waiting for.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);
/// Memory for messages of unknown length is taken in steps of at least this.
const STEP_BYTES: usize = 64 << 10;
/// How much traces usually shrink when compressed, rounded up.
const USUAL_RATIO: usize = 8;
/// `Compressed-Flag` and `Message-Length` of the gRPC wire format.
const GRPC_PREFIX_BYTES: usize = 5;

/// Reads messages. One per process, so that its budget holds for all connections together.
pub(super) struct BodyReader {
    budget: ReadBudget,
    inflaters: Inflaters,
    max_bytes: usize,
}

/// A whole message, decompressed.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) bytes: Bytes,
    /// Keeps the memory charged until the message is stored.
    _permit: Option<Permit>,
}

/// How a message takes memory while it is read and converted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) encoding: Encoding,
    /// Copies of the message that exist at once.
    pub(super) copies: usize,
}

impl BodyReader {
    /// Reads messages of up to `max_bytes`, decompressed.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { budget: ReadBudget::new(), inflaters: Inflaters::default(), max_bytes }
    }

    /// Reads an HTTP body.
    pub(super) async fn read_http<B>(
        &self,
        body: B,
        length: Option<u64>,
        plan: Plan,
    ) -> Result<Message, Refused>
    where
        B: Body<Data = Bytes, Error: Display> + Unpin,
    {
        timeout(READ_TIMEOUT, async {
            let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
            self.read(&mut Chunks::new(body), length, plan).await
        })
        .await
        .unwrap_or_else(|_| Err(late()))
    }

    /// Reads the one message of a unary gRPC request; `encoding` is what `grpc-encoding` names.
    pub(super) async fn read_grpc<B>(&self, body: B, encoding: Encoding) -> Result<Message, Refused>
    where
        B: Body<Data = Bytes, Error: Display> + Unpin,
    {
        timeout(READ_TIMEOUT, async {
            let mut chunks = Chunks::new(body);
            let [flag, length @ ..] = chunks.prefix::<GRPC_PREFIX_BYTES>().await?;
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            let encoding = match flag {
                0 => Encoding::Identity,
                1 if encoding == Encoding::Identity => {
                    return Err(Refused::malformed(
                        "the message is flagged as compressed but the request has no grpc-encoding",
                    ));
                }
                1 => encoding,
                other => {
                    return Err(Refused::malformed(format!(
                        "the gRPC message's compressed flag is {other}, must be 0 or 1"
                    )));
                }
            };
            chunks.limit(length);
            self.read(&mut chunks, Some(length), Plan { encoding, copies: 1 }).await
        })
        .await
        .unwrap_or_else(|_| Err(late()))
    }

    /// The usual small message is read in place; the rest is boxed, to keep the future of every
    /// open request small.
    async fn read<B>(
        &self,
        chunks: &mut Chunks<B>,
        length: Option<usize>,
        plan: Plan,
    ) -> Result<Message, Refused>
    where
        B: Body<Data = Bytes, Error: Display> + Unpin,
    {
        if let Some(length) = length.filter(|length| *length > self.max_bytes) {
            return Err(self.too_large(length));
        }
        if plan.encoding != Encoding::Identity {
            return Box::pin(self.read_compressed(chunks, plan)).await;
        }
        let first = chunks.next().await?.unwrap_or_default();
        if length == Some(first.len()) {
            chunks.end().await?;
            return Ok(Message { bytes: first, _permit: None });
        }
        Box::pin(self.read_identity(chunks, first, length, plan)).await
    }

    async fn read_identity<B>(
        &self,
        chunks: &mut Chunks<B>,
        first: Bytes,
        length: Option<usize>,
        plan: Plan,
    ) -> Result<Message, Refused>
    where
        B: Body<Data = Bytes, Error: Display> + Unpin,
    {
        let mut buffer = Growing::new(self, plan);
        buffer.make_room(length.unwrap_or(first.len())).await?;
        buffer.bytes.extend_from_slice(&first);
        while let Some(chunk) = soon(chunks.next()).await? {
            buffer.make_room(chunk.len()).await?;
            buffer.bytes.extend_from_slice(&chunk);
        }
        buffer.finish()
    }

    async fn read_compressed<B>(
        &self,
        chunks: &mut Chunks<B>,
        plan: Plan,
    ) -> Result<Message, Refused>
    where
        B: Body<Data = Bytes, Error: Display> + Unpin,
    {
        let mut buffer = Growing::new(self, plan);
        let mut inflate = None;
        let mut compressed = 0;
        while let Some(chunk) = soon(chunks.next()).await? {
            // Bounds the work too: a row of empty members goes on for ever and comes to nothing.
            compressed += chunk.len();
            if compressed > self.max_bytes {
                return Err(self.too_large(compressed));
            }
            let inflate = match &mut inflate {
                Some(inflate) => inflate,
                none => {
                    buffer.make_room(self.usual_size(chunk.len())).await?;
                    none.insert(self.inflaters.get(plan.encoding)?)
                }
            };
            inflate.feed(chunk);
            while inflate.step(&mut buffer.bytes)? == Wants::Room {
                buffer.make_room(1).await?;
            }
        }
        let inflate = inflate.ok_or_else(inflate::incomplete)?;
        inflate.finish()?;
        self.inflaters.put_back(inflate);
        buffer.finish()
    }

    /// What so many compressed bytes usually come to, at most a step.
    fn usual_size(&self, compressed: usize) -> usize {
        (compressed * USUAL_RATIO).clamp(2, STEP_BYTES).min(self.max_bytes)
    }

    fn too_large(&self, found: usize) -> Refused {
        Refused::too_large(format!(
            "the request has {found} bytes, the limit is {} (before and after decompression): send \
             smaller batches or raise TRACEBUFFER_MAX_REQUEST_BYTES",
            self.max_bytes
        ))
    }
}

/// A buffer that takes its memory from the budget before it grows.
struct Growing<'a> {
    reader: &'a BodyReader,
    bytes: Vec<u8>,
    permit: Option<Permit>,
    copies: usize,
    /// What the decompressor needs beside the message.
    extra: usize,
}

impl<'a> Growing<'a> {
    fn new(reader: &'a BodyReader, plan: Plan) -> Self {
        let (window_copies, extra) = plan.encoding.memory();
        let copies = plan.copies + window_copies;
        Self { reader, bytes: Vec::new(), permit: None, copies, extra }
    }

    /// Makes room for `more` bytes; more than one past the limit is refused.
    async fn make_room(&mut self, more: usize) -> Result<(), Refused> {
        let needed = self.bytes.len() + more;
        // One byte past the limit, so that a message of exactly the limit is told from a larger.
        let most = self.reader.max_bytes + 1;
        if needed > most {
            return Err(self.reader.too_large(needed));
        }
        if needed <= self.bytes.capacity() {
            return Ok(());
        }
        let step = if self.bytes.is_empty() && more > 1 { 0 } else { STEP_BYTES };
        let wanted = needed.max(self.bytes.capacity() + self.bytes.capacity() / 2).max(step);
        let capacity = wanted.min(most);
        self.charge(capacity).await?;
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }

    async fn charge(&mut self, capacity: usize) -> Result<(), Refused> {
        let bytes = capacity.saturating_mul(self.copies) + self.extra;
        let budget = &self.reader.budget;
        match &mut self.permit {
            None => self.permit = Some(budget.admit(bytes).await?),
            Some(permit) => budget.grow(permit, bytes).await?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Message, Refused> {
        if self.bytes.len() > self.reader.max_bytes {
            return Err(self.reader.too_large(self.bytes.len()));
        }
        Ok(Message { bytes: self.bytes.into(), _permit: self.permit })
    }
}

/// Lets a sender that has gone silent not keep the memory others wait for.
async fn soon<T>(next: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    timeout(LONGEST_SILENCE, next).await.unwrap_or_else(|_| {
        let seconds = LONGEST_SILENCE.as_secs();
        Err(Refused::timed_out(format!("nothing more of the request came for {seconds} s")))
    })
}

fn late() -> Refused {
    let seconds = READ_TIMEOUT.as_secs();
    Refused::timed_out(format!("the request was not complete after {seconds} s"))
}

#[cfg(test)]
mod tests;
