//! `tracebuffer receiver`.

mod checks;
mod compose;
pub(super) mod table;

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::settings::errors::SettingErrors;
use super::settings::flag;
use super::settings::reader::{EnvLookup, SettingsReader};
use crate::bootstrap;
use crate::bootstrap::receiver::settings::ReceiverSettings;

/// The name of the subcommand.
pub(super) const NAME: &str = "receiver";

const AFTER_HELP: &str = "Each setting is a flag or an environment variable; a flag takes precedence, and an empty value means unset.";

/// Describes the subcommand.
pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Runs the receiver, which receives traces, buffers them, and forwards them to a backend")
        .after_help(AFTER_HELP)
        .next_line_help(true)
        .args(table::ALL.iter().map(|setting| flag(*setting)))
}

/// Reads the settings from parsed flags and the environment.
///
/// # Errors
///
/// All invalid settings.
pub(super) fn settings(
    flags: &ArgMatches,
    environment: EnvLookup<'_>,
) -> Result<ReceiverSettings, SettingErrors> {
    let mut reader = SettingsReader::new(NAME, table::ALL, flags, environment);
    let settings = compose::settings(&mut reader);
    reader.finish(settings)
}

/// Runs a receiver to its end.
pub(super) fn run(settings: ReceiverSettings) -> ExitCode {
    bootstrap::receiver::run(settings)
}

#[cfg(test)]
mod tests;
