//! `tracebuffer check`.

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use jiff::Timestamp;

use super::client::{self, ClusterConnection, unreachable_message};
use super::report::{self, OutputFormat};
use super::{EXIT_FAILED, run};
use crate::adapters::kubernetes::diagnosis::{
    CheckInput, DiagnosisScope, FindingState, check, worst_state,
};
use crate::cli::settings::reader::EnvLookup;
use crate::domain::operator::labels::is_dns_label;
use crate::domain::text::quoted;

/// The name of the subcommand.
pub(in crate::cli) const NAME: &str = "check";

const AFTER_HELP: &str = "Checks that you have no permission for are skipped. Nothing is changed in the cluster: the webhook is tested with a dry run.\n\nExit code: 0 if no check failed; 1 if a check failed or the cluster cannot be reached; 64 for an invalid command line.";

/// The arguments of `tracebuffer check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckArgs {
    connection: ClusterConnection,
    scope: DiagnosisScope,
    output: OutputFormat,
    /// Whether a warning counts as a failure.
    strict: bool,
}

/// Describes the subcommand.
pub(in crate::cli) fn command() -> Command {
    Command::new(NAME)
        .about("Checks the installation: versions, webhook, certificates, pods without a sidecar")
        .after_help(AFTER_HELP)
        .arg(namespace_flag(
            "Check only the TraceBuffers and pods of this namespace [default: all namespaces]",
        ))
        .arg(report::flag())
        .arg(
            Arg::new("strict")
                .long("strict")
                .action(ArgAction::SetTrue)
                .help("Exit with code 1 also if there are warnings"),
        )
        .args(client::flags())
}

pub(super) fn namespace_flag(help: &'static str) -> Arg {
    let flag = Arg::new("namespace").long("namespace").short('n').value_name("NAME");
    flag.value_parser(parse_namespace).help(help)
}

fn parse_namespace(text: &str) -> Result<String, String> {
    if is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{} is not a valid namespace name", quoted(text)))
    }
}

/// Reads the arguments.
pub(in crate::cli) fn parse(flags: &ArgMatches, environment: EnvLookup<'_>) -> CheckArgs {
    let connection = ClusterConnection::from_flags(flags, environment);
    CheckArgs {
        scope: scope(flags, environment, connection.in_cluster),
        output: OutputFormat::from_flags(flags, environment("NO_COLOR").is_some()),
        strict: flags.get_flag("strict"),
        connection,
    }
}

/// Returns the scope of a diagnosis; in the operator's own pods, the operator's variables set it.
pub(super) fn scope(
    flags: &ArgMatches,
    environment: EnvLookup<'_>,
    in_cluster: bool,
) -> DiagnosisScope {
    let variable = |name: &str| {
        let value = environment(&format!("TRACEBUFFER_{name}")).filter(|_| in_cluster)?;
        value.into_string().ok().filter(|text| !text.is_empty())
    };
    DiagnosisScope {
        namespace: flags.get_one::<String>("namespace").cloned(),
        operator_namespace: variable("NAMESPACE"),
        operator_name: variable("WEBHOOK_NAME"),
        certificate_secret: variable("CERTIFICATE_SECRET"),
    }
}

impl CheckArgs {
    /// Reads the installation, prints the findings, and returns the exit code.
    pub(in crate::cli) fn run(self) -> ExitCode {
        run(async move {
            let client = self.connection.client().await?;
            let now = Timestamp::now().as_second();
            let input = CheckInput::read(&client, &self.scope, now)
                .await
                .map_err(|error| unreachable_message(&error))?;
            let findings = check(&input);
            self.output.print(&findings);
            let worst_accepted = if self.strict { FindingState::Ok } else { FindingState::Warning };
            let is_ok = worst_state(&findings) <= worst_accepted;
            Ok(if is_ok { ExitCode::SUCCESS } else { EXIT_FAILED.into() })
        })
    }
}
