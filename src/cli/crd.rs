//! `tracebuffer crd`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Command;

use super::generated::crd_yaml;

/// The name of the subcommand.
pub(super) const NAME: &str = "crd";

/// Describes the subcommand.
pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Prints the CustomResourceDefinition of TraceBuffer")
        .after_help("To install it: tracebuffer crd | kubectl apply --server-side -f -")
}

/// Prints it.
pub(super) fn run() -> ExitCode {
    match io::stdout().write_all(crd_yaml().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
