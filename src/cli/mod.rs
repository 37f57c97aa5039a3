//! The command line: turns arguments and environment variables into validated settings. No other
//! module reads them.

pub mod generated;

mod analyze;
mod controller;
mod crd;
mod diagnosis;
mod flush;
mod inject;
mod input_file;
mod misspelt;
mod receiver;
mod settings;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use tracing::warn;

pub use self::analyze::AnalyzeArgs;
use self::diagnosis::{
    check::{self, CheckArgs},
    explain::{self, ExplainArgs},
};
pub use self::inject::InjectArgs;
pub use self::settings::errors::SettingErrors;
use crate::adapters::blocking::run_within;
use crate::adapters::telemetry::logging::{self, LogSettings};
use crate::bootstrap::controller::ControllerSettings;
use crate::bootstrap::receiver::settings::ReceiverSettings;

/// The exit code of an invalid command line or configuration (`EX_USAGE` of `sysexits.h`).
const EXIT_USAGE: u8 = 64;

/// How long a process that cannot start waits until its errors are written.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// The file name under which kubectl finds the plugin `tracebuffer`.
const KUBECTL_PLUGIN: &str = "kubectl-tracebuffer";

/// A subcommand with its validated arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run a receiver.
    Receiver(ReceiverSettings),
    /// Ask the receiver at these addresses to send its buffered spans immediately.
    Flush(Vec<SocketAddr>),
    /// Print the `CustomResourceDefinition`.
    Crd,
    /// Report errors in files with `TraceBuffer`s.
    Analyze(AnalyzeArgs),
    /// Run a controller.
    Controller(ControllerSettings),
    /// Check the installation.
    Check(CheckArgs),
    /// Explain why a pod has or does not have the sidecar.
    Explain(ExplainArgs),
    /// Add the sidecar to manifests.
    Inject(InjectArgs),
}

/// Why no subcommand is run.
#[derive(Debug)]
pub enum CliError {
    /// Help or the version was requested, or the command line is invalid.
    Usage(clap::Error),
    /// Settings are invalid.
    Configuration(SettingErrors),
}

impl Invocation {
    /// Reads the arguments and the environment of this process.
    ///
    /// # Errors
    ///
    /// A [`CliError`] to be reported.
    pub fn from_process() -> Result<Self, CliError> {
        Self::parse(env::args_os(), &|name| env::var_os(name))
    }

    /// Reads `arguments`, the first of which is the program's name, and an environment.
    ///
    /// # Errors
    ///
    /// A [`CliError`] to be reported.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, CliError> {
        let mut arguments = arguments.into_iter().peekable();
        let mut command = command_for(arguments.peek());
        let matches = command.try_get_matches_from_mut(arguments).map_err(hide_value)?;
        match matches.subcommand() {
            Some((receiver::NAME, flags)) => receiver::settings(flags, environment)
                .map(Self::Receiver)
                .map_err(CliError::Configuration),
            Some((flush::NAME, flags)) => flush::addresses(flags, environment)
                .map(Self::Flush)
                .map_err(CliError::Configuration),
            Some((controller::NAME, flags)) => controller::settings(flags, environment)
                .map(Self::Controller)
                .map_err(CliError::Configuration),
            Some((check::NAME, flags)) => Ok(Self::Check(check::parse(flags, environment))),
            Some((explain::NAME, flags)) => explain::parse(flags, environment, &mut command)
                .map(Self::Explain)
                .map_err(CliError::Usage),
            Some((inject::NAME, flags)) => Ok(Self::Inject(InjectArgs::from_flags(flags))),
            Some((crd::NAME, _)) => Ok(Self::Crd),
            Some((analyze::NAME, flags)) => Ok(Self::Analyze(analyze::parse(flags))),
            _ => {
                let message = "a subcommand is missing; `tracebuffer --help` lists the subcommands";
                Err(CliError::Usage(command.error(ErrorKind::MissingSubcommand, message)))
            }
        }
    }

    /// Runs the subcommand to completion.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self {
            Self::Receiver(settings) => {
                start_log(&settings.log);
                receiver::run(settings)
            }
            Self::Flush(addresses) => flush::run(&addresses),
            Self::Controller(settings) => {
                start_log(&settings.log);
                controller::run(settings)
            }
            Self::Check(check) => check.run(),
            Self::Explain(explain) => explain.run(),
            Self::Inject(injection) => injection.run(),
            Self::Crd => crd::run(),
            Self::Analyze(request) => analyze::run(&request),
        }
    }
}

impl CliError {
    /// Prints help and version to standard output and errors to standard error, and returns the exit
    /// code: 0 for help and version, 64 for errors. Waits at most a second for a reader of the errors.
    #[must_use]
    pub fn report(self) -> ExitCode {
        // If standard error is closed or nobody reads it, the exit code still reports the error.
        match self {
            Self::Usage(error) if !error.use_stderr() => {
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            Self::Usage(error) => {
                run_within(REPORT_TIMEOUT, move || error.print().is_ok());
            }
            Self::Configuration(errors) => {
                run_within(REPORT_TIMEOUT, move || {
                    let written = write!(io::stderr(), "{errors}").is_ok();
                    misspelt::print();
                    written
                });
            }
        }
        EXIT_USAGE.into()
    }
}

/// Starts the log of this process, with a warning about all variables that are probably misspelt.
fn start_log(settings: &LogSettings) {
    logging::init(settings);
    // One line, since lines of one kind are limited.
    let misspelt: Vec<_> = misspelt::in_environment().iter().map(ToString::to_string).collect();
    if !misspelt.is_empty() {
        warn!("{}", misspelt.join(" "));
    }
}

/// Hides an unexpected argument that is not a flag: it may be the second word of an unquoted secret.
fn hide_value(mut error: clap::Error) -> CliError {
    let is_value = |context: &ContextValue| matches!(context, ContextValue::String(text) if !text.starts_with('-'));
    if error.kind() == ErrorKind::UnknownArgument
        && error.get(ContextKind::InvalidArg).is_some_and(is_value)
    {
        error.insert(ContextKind::InvalidArg, ContextValue::String("(not shown)".into()));
    }
    CliError::Usage(error)
}

/// Returns the command line for a program of this path. Usage texts of the kubectl plugin show
/// `kubectl tracebuffer`.
fn command_for(program: Option<&OsString>) -> Command {
    let is_plugin =
        program.is_some_and(|path| Path::new(path).file_stem() == Some(KUBECTL_PLUGIN.as_ref()));
    if is_plugin { command().bin_name("kubectl tracebuffer") } else { command() }
}

fn command() -> Command {
    Command::new(env!("CARGO_PKG_NAME"))
        .version(env!("CARGO_PKG_VERSION"))
        .about("A bounded, drop-oldest buffer for OpenTelemetry traces")
        .subcommand(receiver::command())
        .subcommand(controller::command())
        .subcommand(check::command())
        .subcommand(explain::command())
        .subcommand(analyze::command())
        .subcommand(inject::command())
        .subcommand(crd::command())
        .subcommand(flush::command())
}
