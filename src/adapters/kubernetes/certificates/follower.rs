//! Follows the certificate to serve, and what API servers are told to trust; in every replica.

use std::convert::Infallible;
use std::fmt::Debug;
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
use super::served::{Offered, ServedCertificate};
use crate::ports::certificates::CertificateStore;

/// How often it is looked whether it is time for the next certificate, and at the authorities' file.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Keeps what is served in step with what is stored.
pub struct CertificateFollower {
    objects: CertificateObjects,
    served: Arc<ServedCertificate>,
    changes: watch::Sender<u64>,
}

impl CertificateFollower {
    /// Follows the Secret, whoever keeps it, and the webhook's configuration.
    #[must_use]
    pub fn new(objects: CertificateObjects) -> Self {
        let (served, changes) = (Arc::default(), watch::Sender::new(0));
        Self { objects, served, changes }
    }

    /// What is served: the TLS server's resolver.
    #[must_use]
    pub fn served(&self) -> Arc<ServedCertificate> {
        Arc::clone(&self.served)
    }

    /// Returns a counter that rises with every change of the Secret, the configuration or the
    /// authorities' file.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Follows for ever.
    pub async fn run(&self) {
        let (configurations, name) = self.objects.configurations();
        let trust = follow(configurations, name, |configuration| {
            if self.served.published(configuration.map(bundles).unwrap_or_default()) {
                self.note_another();
            }
            self.tell();
        });
        tokio::join!(trust, self.follow_secret(), self.look());
    }

    async fn follow_secret(&self) -> Infallible {
        let (secrets, name) = self.objects.secrets();
        follow(secrets, name, |secret: Option<Secret>| {
            let data = secret.and_then(|secret| secret.data).unwrap_or_default();
            let part = |key: &str| data.get(key).map_or(&[][..], |value| &value.0);
            // Empty is what its keeper has not come to yet.
            if !part(LEAF).is_empty() {
                self.serve(part(LEAF), part(LEAF_KEY));
            }
            self.tell();
        })
        .await
    }

    /// Does what no watch tells of.
    async fn look(&self) -> Infallible {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let mut known = None;
        loop {
            ticks.tick().await;
            if self.served.settle() {
                self.note_another();
            }
            let authorities = self.objects.authorities();
            if known != authorities {
                known = authorities;
                self.tell();
            }
        }
    }

    fn serve(&self, chain: &[u8], key: &[u8]) {
        let source = self.objects.keeper();
        match self.served.serve(chain, key) {
            Ok(Offered::Known) => {}
            Ok(Offered::Served) => self.note_another(),
            Ok(Offered::Waits) => {
                info!(source, "there is another certificate; serving the last until it is trusted");
            }
            Err(error) => {
                warn!(source, %error, "the webhook's certificate cannot be used; serving the last");
            }
        }
    }

    fn note_another(&self) {
        info!(source = self.objects.keeper(), "serving another certificate");
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
