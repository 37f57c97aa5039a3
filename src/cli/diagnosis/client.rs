//! Reaching a cluster as kubectl does, or from a pod in it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::domain::text::error_chain;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);

/// Which cluster, and with whose rights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct ClusterConnection {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    pub(super) in_cluster: bool,
}

/// Describes the flags of a connection.
pub(super) fn flags() -> [Arg; 3] {
    let text = |name: &'static str| Arg::new(name).long(name).help_heading("Cluster");
    [
        text("kubeconfig")
            .value_name("PATH")
            .value_parser(value_parser!(OsString))
            .conflicts_with("in-cluster")
            .help("The kubeconfig file [default: as kubectl: $KUBECONFIG, else ~/.kube/config]"),
        text("context")
            .value_name("NAME")
            .conflicts_with("in-cluster")
            .help("The kubeconfig's context [default: its current one]"),
        text("in-cluster").action(ArgAction::SetTrue).help(
            "Use the service account of the pod this runs in, and its TRACEBUFFER_* variables",
        ),
    ]
}

impl ClusterConnection {
    pub(super) fn from_flags(flags: &ArgMatches) -> Self {
        Self {
            kubeconfig: flags.get_one::<OsString>("kubeconfig").map(PathBuf::from),
            context: flags.get_one::<String>("context").cloned(),
            in_cluster: flags.get_flag("in-cluster"),
        }
    }

    /// Makes a client. Nothing is asked yet.
    pub(super) async fn client(&self) -> Result<Client, String> {
        let mut config = self.config().await.map_err(|why| format!("no cluster: {why}"))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(RESPONSE_TIMEOUT);
        Client::try_from(config).map_err(|error| format!("no cluster: {}", error_chain(&error)))
    }

    async fn config(&self) -> Result<Config, String> {
        if self.in_cluster {
            return Config::incluster().map_err(|error| {
                format!("this runs in no pod of a cluster ({})", error_chain(&error))
            });
        }
        let options =
            KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = match &self.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| error_chain(&error))?;
                Config::from_custom_kubeconfig(file, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        };
        let hint = "name one with --kubeconfig or KUBECONFIG, or use --in-cluster in a pod";
        config.map_err(|error| format!("{}; {hint}", error_chain(&error)))
    }
}

/// Says that nobody answered, and why.
pub(super) fn unreachable_message(error: &kube::Error) -> String {
    format!("the cluster cannot be reached: {}", error_chain(error))
}
