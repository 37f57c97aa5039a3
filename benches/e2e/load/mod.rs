//! What makes and takes load: seeded requests, a generator and a counting sink.

pub(crate) mod client;
pub(crate) mod generator;
pub(crate) mod payload;
pub(crate) mod scanner;
pub(crate) mod sink;

/// What went wrong, in words for the person who runs the benchmark.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
