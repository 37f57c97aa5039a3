//! The receiver.

use std::process::ExitCode;

use super::settings::Settings;
use crate::adapters::telemetry::logging;

/// Runs a receiver until it is told to stop.
#[must_use]
pub fn run(settings: Settings) -> ExitCode {
    let Settings { destination, limits, log, .. } = settings;
    logging::init(&log);
    tracing::info!(
        destination = destination.map(|to| to.endpoint.to_string()),
        max_spans = limits.max_spans,
        max_bytes = limits.max_bytes,
        "settings read"
    );
    ExitCode::SUCCESS
}
