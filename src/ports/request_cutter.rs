//! Cutting one encoded request at span boundaries.

use std::ops::Range;

use bytes::Bytes;

/// Cuts requests without decoding them.
pub trait RequestCutter: Send + Sync + 'static {
    /// Returns `request` with only the spans whose position, counted from 0 in encoding order, is
    /// in `keep`. Resources and scopes that are left without a span are removed too; all other
    /// bytes, unknown fields included, are unchanged.
    fn keep_spans(&self, request: &[u8], keep: Range<u64>) -> Bytes;
}
