//! What the cluster can do, by its version.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::follow::Pauses;

/// The first minor version of Kubernetes 1 that has native sidecars unless told otherwise.
const NATIVE_SIDECARS: u32 = 29;
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
            match client.apiserver_version().await {
                Ok(version) => {
                    self.note(&version);
                    sleep(EVERY).await;
                }
                Err(error) => {
                    warn!("cannot ask for the cluster's version, retrying: {error}");
                    sleep(pauses.next()).await;
                }
            }
        }
    }

    fn note(&self, version: &Info) {
        let has_them = has_native_sidecars(&version.major, &version.minor);
        if self.known.send_replace(Some(has_them)) != Some(has_them) {
            info!(version = version.git_version, native_sidecars = has_them, "cluster version");
        }
    }
}

/// Minor versions may have more behind the number, such as `29+`; what is no number is taken as a
/// new version.
fn has_native_sidecars(major: &str, minor: &str) -> bool {
    let number = |text: &str| {
        let digits = text.split(|letter: char| !letter.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(u32::MAX)
    };
    number(major) > 1 || number(minor) >= NATIVE_SIDECARS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_sidecars_are_there_since_1_29() {
        for (major, minor, expected) in [
            ("1", "28", false),
            ("1", "28+", false),
            ("1", "29", true),
            ("1", "29+", true),
            ("1", "36", true),
            ("2", "0", true),
            ("", "", true),
        ] {
            assert_eq!(has_native_sidecars(major, minor), expected, "{major}.{minor}");
        }
    }
}
