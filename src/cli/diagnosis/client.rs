//! Connects to a cluster by a kubeconfig, as kubectl does, or from a pod in the cluster.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::proxied_client::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, proxied_client};
use crate::adapters::messaging::notation::proxy::Proxy;
use crate::cli::misspelt;
use crate::cli::settings::proxy::ProxyVariables;
use crate::cli::settings::reader::EnvLookup;
use crate::domain::text::error_chain;

/// The cluster and the credentials to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct ClusterConnection {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    pub(super) in_cluster: bool,
    proxies: ProxyVariables,
}

/// Returns the flags of a connection.
pub(super) fn flags() -> [Arg; 3] {
    let text = |name: &'static str| Arg::new(name).long(name).help_heading("Cluster");
    [
        text("kubeconfig")
            .value_name("PATH")
            .value_parser(value_parser!(OsString))
            .conflicts_with("in-cluster")
            .help("Path of the kubeconfig file [default: $KUBECONFIG or ~/.kube/config]"),
        text("context")
            .value_name("NAME")
            .conflicts_with("in-cluster")
            .help("Context of the kubeconfig file [default: the current context]"),
        text("in-cluster").action(ArgAction::SetTrue).help(
            "Use the service account and the TRACEBUFFER_* variables of the pod that this command runs in",
        ),
    ]
}

impl ClusterConnection {
    pub(super) fn from_flags(flags: &ArgMatches, environment: EnvLookup<'_>) -> Self {
        Self {
            proxies: ProxyVariables::read(environment),
            kubeconfig: flags.get_one::<OsString>("kubeconfig").map(PathBuf::from),
            context: flags.get_one::<String>("context").cloned(),
            in_cluster: flags.get_flag("in-cluster"),
        }
    }

    /// Creates a client without connecting yet.
    pub(super) async fn client(&self) -> Result<Client, String> {
        let mut config = self
            .config()
            .await
            .map_err(|why| format!("cannot read the cluster configuration: {why}"))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(RESPONSE_TIMEOUT);
        let proxy = self.proxy(&config)?;
        config.proxy_url = None;
        let client = match &proxy {
            None => Client::try_from(config),
            Some(proxy) => proxied_client(proxy, &config),
        };
        client.map_err(|error| {
            format!("cannot create a client for the cluster: {}", error_chain(&error))
        })
    }

    /// Returns the proxy of the kubeconfig, or else that of the environment; none in a pod.
    ///
    /// The rules are not kube's, which compares `NO_PROXY` with the proxy instead of the cluster, and
    /// refuses lists with an entry that it does not know.
    fn proxy(&self, config: &Config) -> Result<Option<Proxy>, String> {
        if self.in_cluster {
            return Ok(None);
        }
        let configured = config.proxy_url.as_ref().map(ToString::to_string);
        if let Some(url) = configured.filter(|url| !self.proxies.is_https_proxy(url)) {
            let proxy = url.parse().map_err(|error| format!("proxy-url of the kubeconfig {error}"));
            return proxy.map(Some);
        }
        let url = &config.cluster_url;
        let is_http = url.scheme_str() == Some("http");
        let port = url.port_u16().unwrap_or(if is_http { 80 } else { 443 });
        let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let proxy = self.proxies.proxy(!is_http, host, port);
        proxy.map_err(|(name, error)| format!("{name} {error}"))
    }

    async fn config(&self) -> Result<Config, String> {
        if self.in_cluster {
            misspelt::print();
            return Config::incluster().map_err(|error| {
                format!("this command does not run in a pod ({})", error_chain(&error))
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
        let hint = "set --kubeconfig or KUBECONFIG, or use --in-cluster in a pod";
        config.map_err(|error| format!("{}; {hint}", error_chain(&error)))
    }
}

/// Returns the message for an API server that does not respond.
pub(super) fn unreachable_message(error: &kube::Error) -> String {
    format!("the cluster cannot be reached: {}", error_chain(error))
}
