//! Shared parts of both benchmarks of whole processes: seeded requests, a generator, a counting
//! sink, the subjects, their resource usage, and tables.

pub(crate) mod client;
pub(crate) mod generator;
pub(crate) mod payload;
pub(crate) mod process;
pub(crate) mod report;
pub(crate) mod scanner;
pub(crate) mod sink;
pub(crate) mod subject;
pub(crate) mod usage;

/// The error is a message for the person who runs the benchmark.
pub(crate) type BenchResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
