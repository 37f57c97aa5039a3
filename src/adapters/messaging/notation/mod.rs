//! How people write down a destination: its URL and its headers. What reads the settings of a
//! receiver and what reads a `TraceBuffer` both go by these rules.

pub mod endpoint;
pub mod headers;
pub mod url;
