//! What the cluster can do, by its version.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::follow::{MAX_REQUEST, Pauses};
use crate::adapters::kubernetes::version::numbers;
use crate::domain::injection::facts::ClusterFacts;

/// How often the version is asked for: clusters are upgraded under a running operator.
const EVERY: Duration = Duration::from_mins(10);

/// Whether the cluster has native sidecars; [`run`](Self::run) keeps it current.
#[derive(Debug)]
pub struct NativeSidecars {
    known: watch::Sender<Option<bool>>,
}

impl Default for NativeSidecars {
    fn default() -> Self {
        Self { known: watch::Sender::new(None) }
    }
}

impl NativeSidecars {
    /// Returns what is known; `None` before the API server has answered once.
    #[must_use]
    pub fn get(&self) -> Option<bool> {
        *self.known.borrow()
    }

    /// Asks for ever, every ten minutes.
    pub async fn run(&self, client: &Client) {
        let mut pauses = Pauses::default();
        loop {
            match timeout(MAX_REQUEST, client.apiserver_version()).await {
                Ok(Ok(version)) => {
                    self.note(&version);
                    sleep(EVERY).await;
                    continue;
                }
                Ok(Err(error)) => warn!("cannot ask for the cluster's version, retrying: {error}"),
                Err(_) => warn!("the API server does not tell its version, retrying"),
            }
            sleep(pauses.next()).await;
        }
    }

    fn note(&self, version: &Info) {
        let (major, minor) = numbers(version);
        let has_them = ClusterFacts::has_native_sidecars(major, minor);
        if self.known.send_replace(Some(has_them)) != Some(has_them) {
            info!(version = version.git_version, native_sidecars = has_them, "cluster version");
        }
    }
}
