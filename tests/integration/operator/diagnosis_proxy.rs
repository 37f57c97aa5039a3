//! `tracebuffer check` where the API server is behind an HTTP proxy.

use std::path::PathBuf;
use std::process::Command;

use tokio::task::spawn_blocking;

use crate::support::api_server::ApiServer;
use crate::support::connect_proxy::{ConnectProxy, ProxyAnswer};
use crate::support::pki::{TestAuthority, write};

/// An API server that only the proxy can reach, by a name of its own.
struct ClusterBehindProxy {
    proxy: ConnectProxy,
    kubeconfig: PathBuf,
    _api: ApiServer,
    folder: tempfile::TempDir,
}

impl ClusterBehindProxy {
    async fn start(host: &str, proxy_url: impl Fn(&ConnectProxy) -> String) -> Self {
        let (api, authority) = (ApiServer::new(), TestAuthority::new());
        let address = api.listen(Some(authority.server_config_for(host, &[], false))).await;
        let proxy = ConnectProxy::start(ProxyAnswer::Connect(address)).await;
        let folder = tempfile::tempdir().unwrap();
        let ca = write(folder.path(), "ca.pem", &authority.pem());
        let text = format!(
            "\
apiVersion: v1
kind: Config
current-context: test
clusters:
  - name: test
    cluster:
      server: 'https://{host}:{}'
      certificate-authority: '{}'{}
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
users: [{{name: test, user: {{}}}}]
",
            address.port(),
            ca.display(),
            proxy_url(&proxy),
        );
        let kubeconfig = write(folder.path(), "kubeconfig", &text);
        Self { proxy, kubeconfig, _api: api, folder }
    }

    /// Runs `check` with these variables and returns what it prints.
    async fn check(&self, variables: &[(&str, &str)]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracebuffer"));
        let coverage = std::env::var_os("LLVM_PROFILE_FILE").map(|at| ("LLVM_PROFILE_FILE", at));
        command.env_clear().envs(coverage).envs(variables.iter().copied());
        command.env("KUBECONFIG", &self.kubeconfig).current_dir(self.folder.path()).arg("check");
        let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
    }
}

const REACHED: &str = "the CustomResourceDefinition is missing";

#[tokio::test]
async fn the_cluster_is_reached_through_the_proxy_of_the_environment() {
    let cluster = ClusterBehindProxy::start("kube.invalid", |_| String::new()).await;
    let plain = cluster.proxy.url();
    let with_password = plain.replace("http://", "http://user:p%40ss@");
    // Lists as they occur, with entries that not every program knows.
    let exceptions = "localhost,127.0.0.1,169.254/16,*.corp.example,.svc,,";
    for (name, url) in [("HTTPS_PROXY", &plain), ("https_proxy", &with_password)] {
        let text = cluster.check(&[(name, url), ("NO_PROXY", exceptions)]).await;

        assert!(text.contains(REACHED), "{text}");
    }
    let requests = cluster.proxy.requests();
    assert!(requests.iter().all(|head| head.starts_with("CONNECT kube.invalid:")), "{requests:?}");
    let last = requests.last().unwrap().to_lowercase();
    assert!(last.contains("proxy-authorization: basic dxnlcjpwqhnz"), "{last}");
}

#[tokio::test]
async fn an_excepted_cluster_is_reached_directly() {
    for (host, exceptions) in [("127.0.0.1", ""), ("localhost", ""), ("127.0.0.1", "127.0.0.0/8")] {
        let cluster = ClusterBehindProxy::start(host, |_| String::new()).await;
        let variables = [("HTTPS_PROXY", "http://proxy.invalid:1"), ("NO_PROXY", exceptions)];

        let text = cluster.check(&variables).await;

        assert!(text.contains(REACHED), "{text}");
    }
    let cluster = ClusterBehindProxy::start("kube.invalid", |_| String::new()).await;
    let url = cluster.proxy.url();
    let text = cluster.check(&[("HTTPS_PROXY", &url), ("no_proxy", "invalid")]).await;
    assert!(text.contains("the cluster cannot be reached"), "{text}");
    assert!(cluster.proxy.requests().is_empty());
}

#[tokio::test]
async fn the_proxy_of_the_kubeconfig_takes_precedence() {
    let proxy_url = |proxy: &ConnectProxy| format!("\n      proxy-url: '{}'", proxy.url());
    let cluster = ClusterBehindProxy::start("kube.invalid", proxy_url).await;
    let variables = [("HTTPS_PROXY", "http://proxy.invalid:1"), ("NO_PROXY", "kube.invalid")];

    let text = cluster.check(&variables).await;

    assert!(text.contains(REACHED), "{text}");
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
    let cluster = ClusterBehindProxy::start("kube.invalid", |_| String::new()).await;

    let text = cluster.check(&[("HTTPS_PROXY", "socks5://user:hunter2@proxy:1080")]).await;

    assert!(text.contains("HTTPS_PROXY must be the URL of an HTTP proxy; SOCKS"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
