//! Parsing of a destination's URL and headers. The settings of a receiver and the spec of a
//! `TraceBuffer` follow the same rules.

pub mod doubt;
pub mod endpoint;
pub mod headers;
pub mod origin;
pub mod proxy;
pub mod url;
