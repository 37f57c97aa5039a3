//! `tracebuffer receiver`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::compose;
use super::input::{Environment, Input};
use super::mistakes::Mistakes;
use super::table::{self, Described};
use crate::bootstrap;
use crate::bootstrap::settings::Settings;

/// The name of the subcommand.
pub(super) const NAME: &str = "receiver";

const EXPLANATION: &str = "Every setting is a flag or an environment variable; a flag wins, and an empty value means unset.";

/// Describes the subcommand.
pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Receives traces, buffers them, and sends them on")
        .after_help(EXPLANATION)
        .next_line_help(true)
        .args(table::ALL.iter().map(|setting| flag(*setting)))
}

/// Reads the settings from parsed flags and the environment.
///
/// # Errors
///
/// Every mistake found.
pub(super) fn settings(
    flags: &ArgMatches,
    environment: Environment<'_>,
) -> Result<Settings, Mistakes> {
    let mut input = Input::new(flags, environment);
    let settings = compose::settings(&mut input);
    input.finish(settings)
}

/// Runs a receiver to its end.
pub(super) fn run(settings: Settings) -> ExitCode {
    bootstrap::receiver::run(settings)
}

fn flag(setting: &dyn Described) -> Arg {
    let default = match setting.default() {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    Arg::new(setting.name())
        .long(setting.flag())
        .value_name(setting.value_name())
        .value_parser(value_parser!(OsString))
        .allow_negative_numbers(true)
        .help_heading(setting.group().title())
        .help(format!("{}\n[env: {}]{default}", setting.meaning(), setting.variable()))
}
