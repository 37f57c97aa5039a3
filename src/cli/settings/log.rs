//! The settings of the log, which every long-running process has.

use tracing::Level;

use super::kinds::Choice;
use super::reader::{ErrorReported, SettingsReader};
use super::setting;
use crate::adapters::telemetry::logging::{LogFormat, LogSettings};

setting!(pub(in crate::cli) FORMAT = "LOG_FORMAT", in Process: Choice<LogFormat> = Choice(&[
        ("text", LogFormat::Text), ("json", LogFormat::Json),
    ]), default "text",
    "Format of log lines");

setting!(pub(in crate::cli) LEVEL = "LOG_LEVEL", in Process: Choice<Level> = Choice(&[
        ("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO),
        ("debug", Level::DEBUG), ("trace", Level::TRACE),
    ]), default "info",
    "Minimum level of logged events");

/// Reads the log settings.
pub(in crate::cli) fn settings(
    reader: &mut SettingsReader<'_>,
) -> Result<LogSettings, ErrorReported> {
    let format = reader.read(&FORMAT);
    let level = reader.read(&LEVEL);
    Ok(LogSettings { format: format?, level: level? })
}
