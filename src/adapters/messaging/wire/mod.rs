//! Validates and cuts serialized OTLP trace requests without decoding them.
//!
//! Everything here reads the bytes of an `ExportTraceServiceRequest` in place. [`scan()`] accepts
//! exactly what `prost` decodes; the other functions expect requests that it accepted, and keep
//! whole runs of their bytes.

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
