//! `tracebuffer explain`.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command};

use super::check::{namespace_flag, scope};
use super::client::{self, ClusterConnection, unreachable_message};
use super::report::{self, OutputFormat};
use super::{EXIT_FAILED, run};
use crate::adapters::kubernetes::diagnosis::{DiagnosisScope, ExplainInput, FindingState, explain};
use crate::cli::settings::reader::EnvLookup;
use crate::domain::operator::object_key::ObjectKey;

/// The name of the subcommand.
pub(in crate::cli) const NAME: &str = "explain";

const AFTER_HELP: &str = "Exit code: 0 if the pod was found; 1 if it was not found or the cluster cannot be reached; 64 for an invalid command line.";
/// What a pod is called.
const POD_WORDS: [&str; 3] = ["pod", "pods", "po"];

/// What to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainArgs {
    connection: ClusterConnection,
    scope: DiagnosisScope,
    pod: String,
    output: OutputFormat,
}

/// Describes the subcommand.
pub(in crate::cli) fn command() -> Command {
    Command::new(NAME)
        .about("Explains why a pod has or does not have the sidecar, and how to fix it")
        .after_help(AFTER_HELP)
        .arg(
            Arg::new("kind")
                .value_name("pod")
                .required(true)
                .help("The literal word pod, or pod/NAME"),
        )
        .arg(Arg::new("name").value_name("NAME").help("Name of the pod"))
        .arg(namespace_flag("Namespace of the pod [default: the namespace of the context]"))
        .arg(report::flag())
        .args(client::flags())
}

/// Reads what to explain.
///
/// # Errors
///
/// What is wrong with it, for `command`.
pub(in crate::cli) fn parse(
    flags: &ArgMatches,
    environment: EnvLookup<'_>,
    command: &mut Command,
) -> Result<ExplainArgs, clap::Error> {
    let text = |name: &str| flags.get_one::<String>(name).map(String::as_str);
    let (kind, name) = match (text("kind"), text("name")) {
        (Some(kind), None) => kind.split_once('/').unwrap_or((kind, "")),
        (kind, name) => (kind.unwrap_or_default(), name.unwrap_or_default()),
    };
    let mut refuse = |why: String| Err(command.error(ErrorKind::ValueValidation, why));
    if !POD_WORDS.contains(&kind) {
        return refuse(format!(
            "only pods can be explained, not {kind:?}; usage: explain pod NAME"
        ));
    }
    if name.is_empty() {
        return refuse("the name of the pod is missing; usage: explain pod NAME".to_owned());
    }
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let namespace = text("namespace").unwrap_or("default");
    if let Some(wrong) = [name, namespace].iter().find(|text| !text.chars().all(is_of_name)) {
        return refuse(format!(
            "{wrong:?} is not a valid name; names consist of a-z, 0-9, - and ."
        ));
    }
    let connection = ClusterConnection::from_flags(flags);
    Ok(ExplainArgs {
        scope: scope(flags, environment, connection.in_cluster),
        pod: name.to_owned(),
        output: OutputFormat::from_flags(flags, environment("NO_COLOR").is_some()),
        connection,
    })
}

impl ExplainArgs {
    /// Looks, prints what it found, and returns the exit code.
    pub(in crate::cli) fn run(self) -> ExitCode {
        run(async move {
            let client = self.connection.client().await?;
            let namespace = self.scope.namespace.as_deref().unwrap_or(client.default_namespace());
            let key = ObjectKey { namespace: namespace.to_owned(), name: self.pod };
            let case = ExplainInput::read(&client, key, &self.scope)
                .await
                .map_err(|error| unreachable_message(&error))?;
            let findings = explain(&case);
            self.output.print(&findings);
            let is_found = findings.first().is_some_and(|pod| pod.state == FindingState::Ok);
            Ok(if is_found { ExitCode::SUCCESS } else { EXIT_FAILED.into() })
        })
    }
}
