//! Serialized OTLP trace requests, checked and cut without decoding them.
//!
//! Everything here reads the bytes of an `ExportTraceServiceRequest` in place. [`scan()`] accepts
//! exactly what `prost` decodes, no more and no less; the other functions work on accepted requests,
//! and copy whole runs of the sender's bytes.

mod ascii;
mod attribute;
mod cursor;
mod fields;
#[cfg(test)]
mod fixtures;
pub mod grpc;
mod malformed;
mod scan;
mod schema;
mod splice;

use std::ops::Range;

use bytes::Bytes;

use crate::ports::request_cutter::RequestCutter;

pub use malformed::MalformedProtobuf;
pub use scan::{Scanned, scan};
pub use splice::{keep_spans, without_invalid_spans};

/// Cuts serialized requests as [`keep_spans`] does.
#[derive(Clone, Copy, Debug, Default)]
pub struct WireCutter;

impl RequestCutter for WireCutter {
    fn keep_spans(&self, request: &[u8], keep: Range<u64>) -> Bytes {
        Bytes::from(keep_spans(request, keep))
    }
}
