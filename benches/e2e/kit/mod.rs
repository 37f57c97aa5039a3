//! What both benchmarks of whole processes need: seeded requests, a generator, a counting sink, the
//! subjects, what they used, and tables to show it.

pub(crate) mod client;
pub(crate) mod generator;
pub(crate) mod payload;
pub(crate) mod process;
pub(crate) mod report;
pub(crate) mod scanner;
pub(crate) mod sink;
pub(crate) mod subject;
pub(crate) mod usage;

/// What went wrong, in words for the person who runs the benchmark.
pub(crate) type BenchResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
