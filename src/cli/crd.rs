//! `tracebuffer crd`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Command;

use super::generated::crd_yaml;

/// The name of the subcommand.
pub(super) const NAME: &str = "crd";

/// Returns the definition of the subcommand.
pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Prints the CustomResourceDefinition of TraceBuffer as YAML")
        .after_help("To install the CRD, run: tracebuffer crd | kubectl apply --server-side -f -")
}

/// Prints the CRD to standard output.
pub(super) fn run() -> ExitCode {
    match io::stdout().write_all(crd_yaml().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
