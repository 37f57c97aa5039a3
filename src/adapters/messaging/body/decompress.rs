//! Streaming decompression.

use std::io::{self, BufRead, Read};
use std::mem;

use bytes::{Buf, Bytes};
use flate2::bufread::GzDecoder;
use parking_lot::Mutex;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::adapters::messaging::request_error::RequestError;

/// The largest zstd window accepted (8 MiB): what RFC 8878 recommends that every decoder supports.
const ZSTD_WINDOW_BITS: u32 = 23;
/// Maximum bytes decompressed per read; they are zeroed first.
const MAX_READ_BYTES: usize = 16 << 10;
/// Idle decompressors kept per encoding.
const MAX_IDLE: usize = 4;

/// How a message is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapters::messaging) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Idle decompressors, kept for reuse.
///
/// Their tables take about 50 KiB each; allocating them for every message would fragment the heap.
#[derive(Default)]
pub(super) struct DecompressorPool {
    idle: Mutex<Vec<Decompressor>>,
}

/// A decompressor for a sequence of gzip members or zstd frames, as both formats allow.
pub(super) struct Decompressor {
    codec: Codec,
    /// Compressed bytes not read yet.
    input: Bytes,
    /// Whether the last member is complete and no other has begun.
    complete: bool,
}

enum Codec {
    Gzip(Box<GzDecoder<ResumableReader>>),
    Zstd(Box<Decoder<'static>>),
}

/// What a decompressor needs to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecompressStatus {
    NeedsInput,
    NeedsOutput,
}

impl Encoding {
    /// The encodings that responses advertise to senders.
    pub(in crate::adapters::messaging) const ACCEPTED: &'static str = "gzip,zstd,identity";

    /// Parses the value of a `content-encoding` or `grpc-encoding` header; `None` if unsupported.
    pub(in crate::adapters::messaging) fn from_header(value: Option<&[u8]>) -> Option<Self> {
        let Some(value) = value else { return Some(Self::Identity) };
        match value.to_ascii_lowercase().trim_ascii() {
            b"" | b"identity" | b"none" => Some(Self::Identity),
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Returns the memory of the decompressor: copies of the message (zstd's window), and
    /// additional bytes.
    pub(super) const fn decoder_memory(self) -> (usize, usize) {
        match self {
            Self::Identity => (0, 0),
            Self::Gzip => (0, 48 << 10),
            Self::Zstd => (1, 128 << 10),
        }
    }
}

impl DecompressorPool {
    pub(super) fn acquire(&self, encoding: Encoding) -> Result<Decompressor, RequestError> {
        let mut idle = self.idle.lock();
        let index = idle.iter().position(|each| each.encoding() == encoding);
        let found = index.map(|index| idle.swap_remove(index));
        drop(idle);
        found.map_or_else(|| Decompressor::new(encoding), Ok)
    }

    /// Takes back a decompressor whose message was complete; after an error its state is unusable.
    pub(super) fn release(&self, decompressor: Decompressor) {
        let mut idle = self.idle.lock();
        let encoding = decompressor.encoding();
        if idle.iter().filter(|each| each.encoding() == encoding).count() < MAX_IDLE {
            idle.push(decompressor);
        }
    }
}

impl Decompressor {
    fn new(encoding: Encoding) -> Result<Self, RequestError> {
        let codec = if encoding == Encoding::Zstd {
            let mut decoder = Decoder::new().map_err(|error| decompress_error(&error))?;
            decoder
                .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_BITS))
                .map_err(|error| decompress_error(&error))?;
            Codec::Zstd(Box::new(decoder))
        } else {
            Codec::Gzip(Box::new(GzDecoder::new(ResumableReader::default())))
        };
        Ok(Self { codec, input: Bytes::new(), complete: false })
    }

    const fn encoding(&self) -> Encoding {
        match self.codec {
            Codec::Gzip(_) => Encoding::Gzip,
            Codec::Zstd(_) => Encoding::Zstd,
        }
    }

    /// Sets the next compressed bytes, once [`DecompressStatus::NeedsInput`] was returned.
    pub(super) fn feed(&mut self, chunk: Bytes) {
        self.input = chunk;
    }

    /// Decompresses into the spare capacity of `output`.
    pub(super) fn step(&mut self, output: &mut Vec<u8>) -> Result<DecompressStatus, RequestError> {
        loop {
            if self.complete && self.input.is_empty() {
                return Ok(DecompressStatus::NeedsInput);
            }
            if output.len() == output.capacity() {
                return Ok(DecompressStatus::NeedsOutput);
            }
            let had_input = !self.input.is_empty();
            match &mut self.codec {
                Codec::Gzip(decoder) => {
                    if mem::take(&mut self.complete) {
                        decoder.reset(ResumableReader::default());
                    }
                    // The decoder owns its reader, so the input is swapped in for this read only.
                    mem::swap(&mut decoder.get_mut().0, &mut self.input);
                    let read = read_into(decoder, output);
                    mem::swap(&mut decoder.get_mut().0, &mut self.input);
                    match read {
                        Ok(0) => self.complete = true,
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Ok(DecompressStatus::NeedsInput);
                        }
                        Err(error) => return Err(decompress_error(&error)),
                    }
                }
                Codec::Zstd(decoder) => {
                    let mut source = InBuffer::around(&self.input);
                    let start = output.len();
                    let mut target = OutBuffer::around_pos(output, start);
                    let hint = decoder
                        .run(&mut source, &mut target)
                        .map_err(|error| decompress_error(&error))?;
                    let read = source.pos();
                    self.input.advance(read);
                    self.complete = hint == 0;
                    if !had_input && output.len() == start && !self.complete {
                        return Ok(DecompressStatus::NeedsInput);
                    }
                }
            }
        }
    }

    /// Checks that the last member is complete.
    pub(super) fn finish(&self) -> Result<(), RequestError> {
        if self.complete { Ok(()) } else { Err(incomplete_error()) }
    }
}

/// Reads into the spare capacity of `output`, at most [`MAX_READ_BYTES`].
fn read_into(decoder: &mut impl Read, output: &mut Vec<u8>) -> io::Result<usize> {
    let start = output.len();
    output.resize(output.capacity().min(start + MAX_READ_BYTES), 0);
    let read = decoder.read(output.get_mut(start..).unwrap_or_default());
    output.truncate(start + read.as_ref().unwrap_or(&0));
    read
}

/// A reader of a stream whose next bytes have not arrived: at the end of its bytes it would block.
#[derive(Default)]
struct ResumableReader(Bytes);

impl Read for ResumableReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.len().min(into.len());
        self.0.split_to(count).copy_to_slice(into.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

impl BufRead for ResumableReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(&self.0) }
    }

    fn consume(&mut self, count: usize) {
        self.0.advance(count);
    }
}

/// The error for a compressed body that is truncated or empty.
pub(super) fn incomplete_error() -> RequestError {
    RequestError::malformed("the compressed body ended before it was complete")
}

fn decompress_error(error: &io::Error) -> RequestError {
    RequestError::malformed(format!("the body cannot be decompressed: {error}"))
}
