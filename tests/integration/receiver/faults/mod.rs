//! The whole receiver with a destination that fails in every way.
//!
//! Every span is accounted for at every moment: accepted = sent + rejected + dropped + buffered +
//! in flight. Each test runs over gRPC and over HTTP.

mod codes;
mod losses;
mod refused_data;
mod storm;
mod transport;
