//! Decompression as the bytes come.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::adapters::messaging::refused::Refused;

/// The largest deflate window, in bits.
const GZIP_WINDOW_BITS: u8 = 15;
/// The largest zstd window accepted: what RFC 8878 recommends every decoder to support (8 MiB).
const ZSTD_WINDOW_BITS: u32 = 23;

/// How a message is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapters::messaging) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// A decompressor for a row of gzip members or zstd frames, as both formats allow.
pub(super) enum Inflate {
    Gzip { member: Box<Decompress>, state: State },
    Zstd { decoder: Box<Decoder<'static>>, state: State },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Inside,
    BetweenMembers,
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
    pub(super) const fn memory(self) -> (usize, usize) {
        match self {
            Self::Identity => (0, 0),
            Self::Gzip => (0, 48 << 10),
            Self::Zstd => (1, 128 << 10),
        }
    }
}

impl Inflate {
    pub(super) fn new(encoding: Encoding) -> Result<Self, Refused> {
        let state = State::Inside;
        if encoding == Encoding::Zstd {
            let mut decoder = Decoder::new().map_err(broken)?;
            decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_BITS)).map_err(broken)?;
            return Ok(Self::Zstd { decoder: Box::new(decoder), state });
        }
        Ok(Self::Gzip { member: Box::new(Decompress::new_gzip(GZIP_WINDOW_BITS)), state })
    }

    /// Decompresses from `input` into the spare capacity of `output`; returns the bytes consumed.
    pub(super) fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, Refused> {
        match self {
            Self::Gzip { member, state } => {
                if *state == State::BetweenMembers && !input.is_empty() {
                    **member = Decompress::new_gzip(GZIP_WINDOW_BITS);
                    *state = State::Inside;
                }
                if *state == State::BetweenMembers {
                    return Ok(0);
                }
                let before = member.total_in();
                let status =
                    member.decompress_vec(input, output, FlushDecompress::None).map_err(broken)?;
                if status == Status::StreamEnd {
                    *state = State::BetweenMembers;
                }
                Ok(usize::try_from(member.total_in() - before).unwrap_or(usize::MAX))
            }
            Self::Zstd { decoder, state } => {
                if *state == State::BetweenMembers && input.is_empty() {
                    return Ok(0);
                }
                let mut source = InBuffer::around(input);
                let position = output.len();
                let mut target = OutBuffer::around_pos(output, position);
                let hint = decoder.run(&mut source, &mut target).map_err(broken)?;
                *state = if hint == 0 { State::BetweenMembers } else { State::Inside };
                Ok(source.pos())
            }
        }
    }

    /// Makes sure that the last member was complete.
    pub(super) fn finish(&self) -> Result<(), Refused> {
        let (Self::Gzip { state, .. } | Self::Zstd { state, .. }) = self;
        if *state == State::BetweenMembers {
            return Ok(());
        }
        Err(incomplete())
    }
}

/// A compressed body without its end, or without anything.
pub(super) fn incomplete() -> Refused {
    Refused::malformed("the compressed body ended before it was complete")
}

fn broken(error: impl Into<io::Error>) -> Refused {
    Refused::malformed(format!("the body cannot be decompressed: {}", error.into()))
}
