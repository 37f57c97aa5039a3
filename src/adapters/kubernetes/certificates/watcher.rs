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

use super::served::{OfferOutcome, ServedCertificate};
use super::store::{KubeCertificateStore, LEAF, LEAF_KEY, ca_bundles};
use crate::ports::operator::certificates::CertificateStore;

/// How often it is looked whether it is time for the next certificate, and at the authorities' file.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Keeps what is served in step with what is stored.
pub struct CertificateWatcher {
    store: KubeCertificateStore,
    served: Arc<ServedCertificate>,
    changes: watch::Sender<u64>,
}

impl CertificateWatcher {
    /// Follows the Secret, whoever keeps it, and the webhook's configuration.
    #[must_use]
    pub fn new(objects: KubeCertificateStore) -> Self {
        let (served, changes) = (Arc::default(), watch::Sender::new(0));
        Self { store: objects, served, changes }
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
        let (configurations, name) = self.store.configurations();
        let trust = watch_forever(configurations, name, |configuration| {
            if self.served.set_published(configuration.map(ca_bundles).unwrap_or_default()) {
                self.log_served();
            }
            self.notify_change();
        });
        tokio::join!(trust, self.watch_secret(), self.poll());
    }

    async fn watch_secret(&self) -> Infallible {
        let (secrets, name) = self.store.secrets();
        watch_forever(secrets, name, |secret: Option<Secret>| {
            let data = secret.and_then(|secret| secret.data).unwrap_or_default();
            let part = |key: &str| data.get(key).map_or(&[][..], |value| &value.0);
            // Empty is what its keeper has not come to yet.
            if !part(LEAF).is_empty() {
                self.offer(part(LEAF), part(LEAF_KEY));
            }
            self.notify_change();
        })
        .await
    }

    /// Does what no watch tells of.
    async fn poll(&self) -> Infallible {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        let mut known = None;
        loop {
            ticks.tick().await;
            if self.served.serve_if_due() {
                self.log_served();
            }
            let authorities = self.store.read_ca_file();
            if known != authorities {
                known = authorities;
                self.notify_change();
            }
        }
    }

    fn offer(&self, chain: &[u8], key: &[u8]) {
        let source = self.store.tls_location();
        match self.served.offer(chain, key) {
            Ok(OfferOutcome::Unchanged) => {}
            Ok(OfferOutcome::Served) => self.log_served(),
            Ok(OfferOutcome::Pending) => {
                info!(source, "there is another certificate; serving the last until it is trusted");
            }
            Err(error) => {
                warn!(source, %error, "the webhook's certificate cannot be used; serving the last");
            }
        }
    }

    fn log_served(&self) {
        info!(source = self.store.tls_location(), "serving another certificate");
    }

    fn notify_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// Calls `heard` with every state of the object, `None` while there is none; for ever.
async fn watch_forever<K>(api: Api<K>, name: &str, heard: impl Fn(Option<K>)) -> Infallible
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
