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
use crate::domain::operator::labels::is_dns_subdomain;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::text::quoted;

/// The name of the subcommand.
pub(in crate::cli) const NAME: &str = "explain";

const AFTER_HELP: &str = "Exit code: 0 if the pod was found; 1 if it was not found or the cluster cannot be reached; 64 for an invalid command line.";
/// The names of the kind, as in kubectl.
const POD_KINDS: [&str; 3] = ["pod", "pods", "po"];

/// The arguments of `tracebuffer explain`.
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

/// Reads the arguments.
///
/// # Errors
///
/// A usage error of `command` for an argument that is not a pod or not a valid name.
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
    let mut invalid = |message: String| Err(command.error(ErrorKind::ValueValidation, message));
    if !POD_KINDS.contains(&kind) {
        return invalid(format!(
            "only pods can be explained, not {kind:?}; usage: explain pod NAME"
        ));
    }
    if name.is_empty() {
        return invalid("the name of the pod is missing; usage: explain pod NAME".to_owned());
    }
    if !is_dns_subdomain(name) {
        return invalid(format!("{} is not a valid pod name", quoted(name)));
    }
    let connection = ClusterConnection::from_flags(flags, environment);
    Ok(ExplainArgs {
        scope: scope(flags, environment, connection.in_cluster),
        pod: name.to_owned(),
        output: OutputFormat::from_flags(flags, environment("NO_COLOR").is_some()),
        connection,
    })
}

impl ExplainArgs {
    /// Reads the pod and its surroundings, prints the findings, and returns the exit code.
    pub(in crate::cli) fn run(self) -> ExitCode {
        run(async move {
            let client = self.connection.client().await?;
            let namespace = self.scope.namespace.as_deref().unwrap_or(client.default_namespace());
            let key = ObjectKey { namespace: namespace.to_owned(), name: self.pod };
            let input = ExplainInput::read(&client, key, &self.scope)
                .await
                .map_err(|error| unreachable_message(&error))?;
            let findings = explain(&input);
            self.output.print(&findings);
            let is_found = findings.first().is_some_and(|pod| pod.state == FindingState::Ok);
            Ok(if is_found { ExitCode::SUCCESS } else { EXIT_FAILED.into() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<ExplainArgs, String> {
        let mut command = command();
        let flags = command
            .try_get_matches_from_mut([&[NAME], arguments].concat())
            .map_err(|error| error.to_string())?;
        parse(&flags, &|_| None, &mut command).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pod_is_named_by_one_word_or_two() {
        for arguments in [&["pod", "cart-0"][..], &["pods/cart-0"], &["po", "cart-0"]] {
            assert_eq!(parsed(arguments).unwrap().pod, "cart-0");
        }
        let in_namespace = parsed(&["pod", "a.b", "-n", "shop"]).unwrap();
        assert_eq!(in_namespace.scope.namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn names_that_no_object_can_have_are_rejected() {
        let too_long = "a".repeat(254);
        for name in ["-", "..", ".", "a-", "a..b", "A", "a/b", &too_long] {
            let error = parsed(&["pod", name]).unwrap_err();
            assert!(error.contains("is not a valid pod name"), "{name}: {error}");
        }
        for namespace in ["-", "..", "a.b", "A", "a-"] {
            let error = parsed(&["pod", "a", &format!("--namespace={namespace}")]).unwrap_err();
            assert!(error.contains("is not a valid namespace name"), "{namespace}: {error}");
        }
    }
}
