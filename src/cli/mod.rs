//! The command line: from arguments and environment to checked settings. Nothing else reads them.

pub mod generated;

mod analyze;
mod controller;
mod crd;
mod diagnosis;
mod flush;
mod inject;
mod input_file;
mod receiver;
mod settings;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

pub use self::analyze::AnalyzeArgs;
use self::diagnosis::{
    check::{self, CheckArgs},
    explain::{self, ExplainArgs},
};
pub use self::inject::InjectArgs;
pub use self::settings::errors::SettingErrors;
use crate::bootstrap::controller::ControllerSettings;
use crate::bootstrap::receiver::settings::ReceiverSettings;

/// The exit code of a wrong command line or configuration (`EX_USAGE` of `sysexits.h`).
const EXIT_USAGE: u8 = 64;

/// The name by which kubectl finds its plugin `tracebuffer`.
const KUBECTL_PLUGIN: &str = "kubectl-tracebuffer";

/// What the process is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run a receiver.
    Receiver(ReceiverSettings),
    /// Ask the receiver at these addresses to send what it has.
    Flush(Vec<SocketAddr>),
    /// Print the definition of the resource.
    Crd,
    /// Tell what is wrong in files of resources.
    Analyze(AnalyzeArgs),
    /// Run a controller.
    Controller(ControllerSettings),
    /// Look over an installation.
    Check(CheckArgs),
    /// Explain what became of a pod.
    Explain(ExplainArgs),
    /// Inject into manifests.
    Inject(InjectArgs),
}

/// Why nothing is to be run.
#[derive(Debug)]
pub enum CliError {
    /// Help or the version was asked for, or the command line makes no sense.
    Usage(clap::Error),
    /// Settings are wrong.
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

    /// Reads `arguments`, of which the first is the program's name, and an environment.
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
                let message = "what to run is missing; `tracebuffer --help` lists it";
                Err(CliError::Usage(command.error(ErrorKind::MissingSubcommand, message)))
            }
        }
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self {
            Self::Receiver(settings) => receiver::run(settings),
            Self::Flush(addresses) => flush::run(&addresses),
            Self::Controller(settings) => controller::run(settings),
            Self::Check(check) => check.run(),
            Self::Explain(explain) => explain.run(),
            Self::Inject(injection) => injection.run(),
            Self::Crd => crd::run(),
            Self::Analyze(request) => analyze::run(&request),
        }
    }
}

impl CliError {
    /// Prints help and version to standard output, mistakes to standard error, and returns the
    /// exit code: 0 for the former, 64 for the latter.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        // With nowhere to print to, the exit code alone must do.
        match self {
            Self::Usage(error) => {
                let _ = error.print();
                if error.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS }
            }
            Self::Configuration(mistakes) => {
                let _ = write!(io::stderr(), "{mistakes}");
                EXIT_USAGE.into()
            }
        }
    }
}

/// Hides an argument that is no flag: it may be the second word of an unquoted secret.
fn hide_value(mut error: clap::Error) -> CliError {
    let is_value = |context: &ContextValue| matches!(context, ContextValue::String(text) if !text.starts_with('-'));
    if error.kind() == ErrorKind::UnknownArgument
        && error.get(ContextKind::InvalidArg).is_some_and(is_value)
    {
        error.insert(ContextKind::InvalidArg, ContextValue::String("(not shown)".into()));
    }
    CliError::Usage(error)
}

/// Describes the command line for a program of this path: as a plugin it is called through kubectl.
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
