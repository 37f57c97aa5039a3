//! Decompression as the bytes come.

use std::io::{self, BufRead, Read};
use std::mem;

use bytes::{Buf, Bytes};
use flate2::bufread::GzDecoder;
use parking_lot::Mutex;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::adapters::messaging::request_error::RequestError;

/// The largest zstd window accepted: what RFC 8878 recommends every decoder to support (8 MiB).
const ZSTD_WINDOW_BITS: u32 = 23;
/// Most bytes decompressed in one go, which have to be zeroed before.
const MAX_READ_BYTES: usize = 16 << 10;
/// Idle decompressors kept of each kind.
const MAX_IDLE: usize = 4;

/// How a message is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapters::messaging) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Decompressors that wait for their next message.
///
/// Their tables are some 50 KiB each: made and freed for every message, they would leave holes all
/// over the heap.
#[derive(Default)]
pub(super) struct DecompressorPool {
    idle: Mutex<Vec<Decompressor>>,
}

/// A decompressor for a row of gzip members or zstd frames, as both formats allow.
pub(super) struct Decompressor {
    codec: Codec,
    /// Compressed bytes that are still to be read.
    input: Bytes,
    /// Whether the last member has ended, and no other has begun.
    complete: bool,
}

enum Codec {
    Gzip(Box<GzDecoder<ResumableReader>>),
    Zstd(Box<Decoder<'static>>),
}

/// What a decompressor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecompressStatus {
    NeedsInput,
    NeedsOutput,
}

impl Encoding {
    /// What receivers are told to send.
    pub(in crate::adapters::messaging) const ACCEPTED: &'static str = "gzip,zstd,identity";

    /// Reads the value of a `content-encoding` or `grpc-encoding` header.
    pub(in crate::adapters::messaging) fn from_header(value: Option<&[u8]>) -> Option<Self> {
        let Some(value) = value else { return Some(Self::Identity) };
        match value.to_ascii_lowercase().trim_ascii() {
            b"" | b"identity" | b"none" => Some(Self::Identity),
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// What the decompressor takes: copies of the message (zstd's window), and bytes beside.
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
        let place = idle.iter().position(|inflate| inflate.encoding() == encoding);
        let found = place.map(|place| idle.swap_remove(place));
        drop(idle);
        found.map_or_else(|| Decompressor::new(encoding), Ok)
    }

    /// Takes back a decompressor whose message was complete.
    pub(super) fn release(&self, inflate: Decompressor) {
        let mut idle = self.idle.lock();
        let kind = inflate.encoding();
        if idle.iter().filter(|each| each.encoding() == kind).count() < MAX_IDLE {
            idle.push(inflate);
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

    /// Hands over the next compressed bytes, after the former ones were read.
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

    /// Makes sure that the last member was complete.
    pub(super) fn finish(&self) -> Result<(), RequestError> {
        if self.complete { Ok(()) } else { Err(incomplete_error()) }
    }
}

/// Reads into some of the spare capacity of `output`.
fn read_into(decoder: &mut impl Read, output: &mut Vec<u8>) -> io::Result<usize> {
    let start = output.len();
    output.resize(output.capacity().min(start + MAX_READ_BYTES), 0);
    let read = decoder.read(output.get_mut(start..).unwrap_or_default());
    output.truncate(start + read.as_ref().unwrap_or(&0));
    read
}

/// A reader of bytes that may go on: at their end it would block.
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

/// A compressed body without its end, or without anything.
pub(super) fn incomplete_error() -> RequestError {
    RequestError::malformed("the compressed body ended before it was complete")
}

fn decompress_error(error: &io::Error) -> RequestError {
    RequestError::malformed(format!("the body cannot be decompressed: {error}"))
}
