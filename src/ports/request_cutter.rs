//! Cutting one encoded request at span boundaries.

use std::ops::Range;

use bytes::Bytes;

/// Cuts requests without decoding them.
pub trait RequestCutter: Send + Sync + 'static {
    /// Returns `request` with only the spans whose position, counted from 0 in the order they lie,
    /// is in `keep`. Resources and scopes without a span left go with their spans; all other
    /// bytes, unknown fields included, stay as they are.
    fn keep_spans(&self, request: &[u8], keep: Range<u64>) -> Bytes;
}
