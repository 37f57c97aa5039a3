//! Decompressing a message that has arrived whole.
//!
//! All of the input is there, so no decompressor waits for a sender, and zstd needs no window: it
//! refers to the output itself.

use std::io::{self, Read};
use std::mem;

use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use flate2::bufread::GzDecoder;
use parking_lot::Mutex;
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{
    DCtx, decompress_bound, find_frame_compressed_size, get_error_name, get_frame_content_size,
};

use crate::adapters::messaging::request_error::RequestError;

/// Maximum bytes decompressed per read; they are zeroed first.
const MAX_READ_BYTES: usize = 16 << 10;
/// Idle decompressors kept per encoding.
const MAX_IDLE: usize = 2;
/// Compression ratio of traces, for frames that do not tell their size.
const TYPICAL_RATIO: usize = 8;
/// The highest possible ratio of deflate, rounded up.
const MAX_GZIP_RATIO: usize = 1_032;

/// How a message is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapters::messaging) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Idle decompressors, kept for reuse.
///
/// Their tables take about 50 KiB (gzip) and 100 KiB (zstd) each; allocating them for every message
/// would fragment the heap.
#[derive(Default)]
pub(super) struct DecompressorPool {
    gzip: Mutex<Vec<GzipDecoder>>,
    zstd: Mutex<Vec<DCtx<'static>>>,
}

type GzipDecoder = Box<GzDecoder<Reader<Bytes>>>;

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
}

/// The decompressed size of a message, as far as it is known before. A message with another size is
/// invalid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ExpectedSize {
    pub(super) at_least: usize,
    pub(super) likely: usize,
    pub(super) at_most: usize,
}

/// Returns what a message tells of its decompressed size.
pub(super) fn expected_size(
    encoding: Encoding,
    message: &[u8],
) -> Result<ExpectedSize, RequestError> {
    match encoding {
        Encoding::Identity => Ok(ExpectedSize::exactly(message.len())),
        Encoding::Gzip => Ok(gzip_size(message)),
        Encoding::Zstd => zstd_size(message),
    }
}

/// The last member ends with its size (RFC 1952, "ISIZE"). There may be other members, and a message that
/// was truncated ends with something else.
fn gzip_size(message: &[u8]) -> ExpectedSize {
    let told = message.last_chunk().map_or(0, |size| u32::from_le_bytes(*size));
    let at_most = message.len().saturating_mul(MAX_GZIP_RATIO);
    ExpectedSize { at_least: 0, likely: in_usize(told.into()).min(at_most), at_most }
}

/// Some frames tell their size, and the number of blocks bounds that of the others.
fn zstd_size(message: &[u8]) -> Result<ExpectedSize, RequestError> {
    if message.is_empty() {
        return Err(incomplete_error());
    }
    let mut size = ExpectedSize::default();
    let mut rest = message;
    while !rest.is_empty() {
        let length = find_frame_compressed_size(rest).map_err(zstd_error)?;
        let told = get_frame_content_size(rest).map_err(|_| incomplete_error())?.map(in_usize);
        size.at_least = size.at_least.saturating_add(told.unwrap_or(0));
        size.likely = size.likely.saturating_add(told.unwrap_or(length * TYPICAL_RATIO));
        rest = rest.get(length..).unwrap_or_default();
    }
    let at_most = in_usize(decompress_bound(message).map_err(zstd_error)?);
    Ok(ExpectedSize { likely: size.likely.min(at_most), at_most, ..size })
}

fn in_usize(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

impl ExpectedSize {
    const fn exactly(size: usize) -> Self {
        Self { at_least: size, likely: size, at_most: size }
    }
}

impl DecompressorPool {
    /// Decompresses a sequence of gzip members or zstd frames, as both formats allow. Returns `None` if
    /// there are `capacity` bytes or more.
    pub(super) fn decompress(
        &self,
        encoding: Encoding,
        message: &Bytes,
        capacity: usize,
    ) -> Result<Option<Vec<u8>>, RequestError> {
        match encoding {
            Encoding::Identity => Ok(Some(message.to_vec())),
            Encoding::Gzip => self.gunzip(message.clone(), capacity),
            Encoding::Zstd => self.unzstd(message, capacity),
        }
    }

    fn gunzip(&self, message: Bytes, capacity: usize) -> Result<Option<Vec<u8>>, RequestError> {
        let mut output = Vec::with_capacity(capacity);
        let idle = self.gzip.lock().pop();
        let mut decoder = match idle {
            Some(mut decoder) => {
                decoder.reset(message.reader());
                decoder
            }
            None => Box::new(GzDecoder::new(message.reader())),
        };
        let complete = loop {
            while read_into(&mut *decoder, &mut output).map_err(|error| gzip_error(&error))? > 0 {}
            if output.len() == capacity {
                break false;
            }
            let rest = mem::replace(decoder.get_mut(), Bytes::new().reader());
            if !rest.get_ref().has_remaining() {
                break true;
            }
            decoder.reset(rest);
        };
        decoder.reset(Bytes::new().reader());
        put_back(&self.gzip, decoder);
        Ok(complete.then_some(output))
    }

    fn unzstd(&self, message: &[u8], capacity: usize) -> Result<Option<Vec<u8>>, RequestError> {
        const TOO_SMALL: usize =
            (ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize).wrapping_neg();
        let mut output = Vec::with_capacity(capacity);
        let mut decoder = self.zstd.lock().pop().unwrap_or_else(DCtx::create);
        let decompressed = decoder.decompress(&mut output, message);
        put_back(&self.zstd, decoder);
        match decompressed {
            Ok(_) if output.len() < capacity => Ok(Some(output)),
            Ok(_) | Err(TOO_SMALL) => Ok(None),
            Err(code) => Err(zstd_error(code)),
        }
    }
}

fn put_back<T>(idle: &Mutex<Vec<T>>, decoder: T) {
    let mut idle = idle.lock();
    if idle.len() < MAX_IDLE {
        idle.push(decoder);
    }
}

/// Reads into the spare capacity of `output`, at most [`MAX_READ_BYTES`]; returns 0 at the end of a
/// member, or if there is no capacity left.
fn read_into(decoder: &mut impl Read, output: &mut Vec<u8>) -> io::Result<usize> {
    let start = output.len();
    output.resize(output.capacity().min(start + MAX_READ_BYTES), 0);
    let read = decoder.read(output.get_mut(start..).unwrap_or_default());
    output.truncate(start + read.as_ref().unwrap_or(&0));
    read
}

/// The error for a compressed body that is truncated or empty.
fn incomplete_error() -> RequestError {
    RequestError::malformed("the compressed body ended before it was complete")
}

fn gzip_error(error: &io::Error) -> RequestError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => incomplete_error(),
        _ => decompress_error(error),
    }
}

fn zstd_error(code: usize) -> RequestError {
    const TRUNCATED: usize = (ZSTD_ErrorCode::ZSTD_error_srcSize_wrong as usize).wrapping_neg();
    match code {
        TRUNCATED => incomplete_error(),
        _ => decompress_error(&get_error_name(code)),
    }
}

fn decompress_error(error: &impl std::fmt::Display) -> RequestError {
    RequestError::malformed(format!("the body cannot be decompressed: {error}"))
}
