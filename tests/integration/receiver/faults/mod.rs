//! The whole receiver before a destination that fails in every way.
//!
//! Under each fault no span is nowhere: accepted = sent + rejected + dropped + buffered + in flight,
//! at every moment. Each runs over gRPC and over HTTP.

mod codes;
mod losses;
mod refused_data;
mod storm;
mod transport;
