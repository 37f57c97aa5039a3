//! Follows the certificate to serve, and what API servers are told to trust; in every replica.

use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::{info, warn};

use super::objects::{CertificateObjects, LEAF, LEAF_KEY, bundles};
use super::served::ServedCertificate;

/// How often the files are looked at. The kubelet itself takes up to a minute.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Most bytes of a file that are read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Keeps what is served in step with what is stored.
pub struct CertificateFollower {
    objects: CertificateObjects,
    /// Where the certificate lies as files; else it is in the Secret.
    files: Option<PathBuf>,
    served: Arc<ServedCertificate>,
    changes: watch::Sender<u64>,
}

impl CertificateFollower {
    /// Follows the Secret, whose keyring the leader keeps.
    #[must_use]
    pub fn of_secret(objects: CertificateObjects) -> Self {
        Self::new(objects, None)
    }

    /// Follows `tls.crt` and `tls.key` in a folder, which somebody else keeps.
    #[must_use]
    pub fn of_files(objects: CertificateObjects, folder: PathBuf) -> Self {
        Self::new(objects, Some(folder))
    }

    fn new(objects: CertificateObjects, files: Option<PathBuf>) -> Self {
        let (served, changes) = (Arc::default(), watch::Sender::new(0));
        Self { objects, files, served, changes }
    }

    /// What is served: the TLS server's resolver.
    #[must_use]
    pub fn served(&self) -> Arc<ServedCertificate> {
        Arc::clone(&self.served)
    }

    /// Returns a counter that rises with every change of the Secret or the configuration.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Follows for ever.
    pub async fn run(&self) {
        let (configurations, name) = self.objects.configurations();
        let trust = follow(configurations, name, |configuration| {
            self.served.published(configuration.map(bundles).unwrap_or_default());
            self.tell();
        });
        if let Some(folder) = &self.files {
            tokio::join!(trust, self.follow_files(folder));
        } else {
            tokio::join!(trust, self.follow_secret());
        }
    }

    async fn follow_secret(&self) -> Infallible {
        let (secrets, name) = self.objects.secrets();
        let source = self.objects.keeper();
        follow(secrets, name, |secret: Option<Secret>| {
            let data = secret.and_then(|secret| secret.data).unwrap_or_default();
            let part = |key: &str| data.get(key).map_or(&[][..], |value| &value.0);
            // Empty is what the leader has not come to yet.
            if !part(LEAF).is_empty() {
                self.serve(&source, part(LEAF), part(LEAF_KEY));
            }
            self.tell();
        })
        .await
    }

    async fn follow_files(&self, folder: &Path) -> Infallible {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let mut known = None;
        loop {
            ticks.tick().await;
            let files = read(folder);
            if known.as_ref() == Some(&files) {
                continue;
            }
            match &files {
                Ok((chain, key)) => self.serve(&folder.display(), chain, key),
                Err(error) => warn!(error, "the webhook's certificate cannot be read; trying on"),
            }
            known = Some(files);
        }
    }

    fn serve(&self, source: &dyn Display, chain: &[u8], key: &[u8]) {
        match self.served.serve(chain, key) {
            Ok(true) => info!(%source, "serving another certificate"),
            Ok(false) => {}
            Err(error) => {
                warn!(%source, %error, "the webhook's certificate cannot be used; serving the last");
            }
        }
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// Calls `heard` with every state of the object, `None` while there is none; for ever.
async fn follow<K>(api: Api<K>, name: &str, heard: impl Fn(Option<K>)) -> Infallible
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let states = watcher::watch_object(api, name).backoff(watcher::DefaultBackoff::default());
    let mut states = std::pin::pin!(states);
    loop {
        match states.next().await {
            Some(Ok(state)) => heard(state),
            Some(Err(error)) => warn!(name, %error, "the watch broke; watching again"),
            // The stream has no end.
            None => std::future::pending().await,
        }
    }
}

type Files = (Vec<u8>, Vec<u8>);

fn read(folder: &Path) -> Result<Files, String> {
    let file = |name: &str| {
        let path = folder.join(name);
        read_file(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    Ok((file(LEAF)?, file(LEAF_KEY)?))
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![];
    std::fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
