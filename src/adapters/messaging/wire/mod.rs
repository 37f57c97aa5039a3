//! Validates and cuts serialized OTLP trace requests without decoding them.
//!
//! Everything here reads the bytes of an `ExportTraceServiceRequest` in place. [`scan()`] accepts
//! exactly what `prost` decodes; [`keep_spans`] and [`without_invalid_spans`] expect requests that it
//! accepted, and keep whole runs of their bytes.

mod ascii;
mod attribute;
mod cursor;
mod fields;
#[cfg(test)]
mod fixtures;
mod foreign;
pub mod grpc;
mod malformed;
mod nesting;
mod scan;
mod schema;
mod splice;
mod undecodable;

pub(super) use foreign::{OtherSignal, other_signal, unknown_fields};
pub use malformed::MalformedProtobuf;
pub use scan::{Scanned, scan};
pub use splice::{keep_spans, without_invalid_spans};
pub use undecodable::without_undecodable_spans;
