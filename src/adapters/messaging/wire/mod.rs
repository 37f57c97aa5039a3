//! Serialized OTLP trace requests, checked and cut without decoding them.
//!
//! Everything here reads the bytes of an `ExportTraceServiceRequest` in place. [`scan()`] accepts
//! exactly what `prost` decodes, no more and no less; the other functions work on accepted requests,
//! and keep whole runs of the sender's bytes.

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

pub use malformed::MalformedProtobuf;
pub use scan::{Scanned, scan};
pub use splice::{keep_spans, without_invalid_spans};
