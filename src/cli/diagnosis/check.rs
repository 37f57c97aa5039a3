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

const AFTER_HELP: &str = "The exit code is 0 when nothing failed, 1 when something did or the cluster cannot be reached, and 64 for a wrong command line. What you are not allowed to see is skipped. Nothing is changed: the webhook is tried with a dry run.";

/// What to look at.
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
        .about(
            "Looks over an installation: versions, webhook, certificates, pods without a sidecar",
        )
        .after_help(AFTER_HELP)
        .arg(namespace_flag(
            "Look at the TraceBuffers and pods of this namespace alone [default: all]",
        ))
        .arg(report::flag())
        .arg(
            Arg::new("strict")
                .long("strict")
                .action(ArgAction::SetTrue)
                .help("End with exit code 1 for warnings, too"),
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

/// Reads what to look at.
pub(in crate::cli) fn parse(flags: &ArgMatches, environment: EnvLookup<'_>) -> CheckArgs {
    let connection = ClusterConnection::from_flags(flags);
    CheckArgs {
        scope: scope(flags, environment, connection.in_cluster),
        output: OutputFormat::from_flags(flags, environment("NO_COLOR").is_some()),
        strict: flags.get_flag("strict"),
        connection,
    }
}

/// Where to look; in the operator's own pods, where its variables say.
pub(super) fn scope(
    flags: &ArgMatches,
    environment: EnvLookup<'_>,
    in_cluster: bool,
) -> DiagnosisScope {
    let told = |name: &str| {
        let value = environment(&format!("TRACEBUFFER_{name}")).filter(|_| in_cluster)?;
        value.into_string().ok().filter(|text| !text.is_empty())
    };
    DiagnosisScope {
        namespace: flags.get_one::<String>("namespace").cloned(),
        operator_namespace: told("NAMESPACE"),
        operator_name: told("WEBHOOK_NAME"),
        certificate_secret: told("CERTIFICATE_SECRET"),
    }
}

impl CheckArgs {
    /// Looks, prints what it found, and returns the exit code.
    pub(in crate::cli) fn run(self) -> ExitCode {
        run(async move {
            let client = self.connection.client().await?;
            let now = Timestamp::now().as_second();
            let facts = CheckInput::read(&client, &self.scope, now)
                .await
                .map_err(|error| unreachable_message(&error))?;
            let findings = check(&facts);
            self.output.print(&findings);
            let bearable = if self.strict { FindingState::Ok } else { FindingState::Warning };
            let is_fine = worst_state(&findings) <= bearable;
            Ok(if is_fine { ExitCode::SUCCESS } else { EXIT_FAILED.into() })
        })
    }
}
