//! Validates and cuts serialized OTLP trace requests without decoding them.
//!
//! Everything here reads the bytes of an `ExportTraceServiceRequest` in place. [`scan()`] accepts
//! exactly what `prost` decodes; the other functions expect requests that it accepted, and copy
//! whole runs of their bytes.

mod ascii;
mod attribute;
mod cursor;
mod fields;
#[cfg(test)]
mod fixtures;
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
