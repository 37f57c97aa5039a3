//! Watches the certificate to serve, and the authorities that API servers trust; in every replica.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::sync::watch;
use tracing::{info, warn};

use super::served::{OfferOutcome, ServedCertificate};
use super::store::{KubeCertificateStore, TLS_CERT, TLS_KEY, ca_bundles};
use crate::adapters::kubernetes::watch::{RbacRule, WatchedObject, watch_object};
use crate::ports::operator::certificates::CertificateStore;

/// How often the file of the authorities is read, and a pending certificate is checked.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

const SECRETS: RbacRule = RbacRule { group: "", resource: "secrets", role: "Role" };

/// Serves the stored certificate.
pub struct CertificateWatcher {
    store: KubeCertificateStore,
    served: Arc<ServedCertificate>,
    changes: watch::Sender<u64>,
}

impl CertificateWatcher {
    /// Creates the watcher of the Secret, whoever writes it, and of the webhook's configuration.
    #[must_use]
    pub fn new(store: KubeCertificateStore) -> Self {
        let (served, changes) = (Arc::default(), watch::Sender::new(0));
        Self { store, served, changes }
    }

    /// Returns the served certificate: the TLS server's resolver.
    #[must_use]
    pub fn served(&self) -> Arc<ServedCertificate> {
        Arc::clone(&self.served)
    }

    /// Returns a counter that increases with every change of the Secret, the configuration or the file
    /// of the authorities.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Watches until it is cancelled.
    pub async fn run(&self) {
        tokio::join!(self.watch_configuration(), self.watch_secret(), self.poll());
    }

    async fn watch_configuration(&self) {
        let configuration = WatchedObject {
            client: self.store.client(),
            name: &self.store.names().configuration,
            rule: RbacRule::CONFIGURATIONS,
        };
        let handle = |configuration: Option<MutatingWebhookConfiguration>| {
            if self.served.set_published(configuration.map(ca_bundles).unwrap_or_default()) {
                self.log_served();
            }
            self.notify_change();
        };
        watch_object(configuration, Api::all, handle).await;
    }

    async fn watch_secret(&self) {
        let names = self.store.names();
        let secret =
            WatchedObject { client: self.store.client(), name: &names.secret, rule: SECRETS };
        let handle = |secret: Option<Secret>| {
            let data = secret.and_then(|secret| secret.data).unwrap_or_default();
            let part = |key: &str| data.get(key).map_or(&[][..], |value| &value.0);
            // An authority is stored before the first leaf.
            if !part(TLS_CERT).is_empty() {
                self.offer(part(TLS_CERT), part(TLS_KEY));
            }
            self.notify_change();
        };
        watch_object(secret, |client| Api::namespaced(client, &names.namespace), handle).await;
    }

    /// Does what no watch reports.
    async fn poll(&self) -> Infallible {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        let mut last_authorities = None;
        loop {
            ticks.tick().await;
            if self.served.serve_if_due() {
                self.log_served();
            }
            let authorities = self.store.read_ca_file().await;
            if last_authorities != authorities {
                last_authorities = authorities;
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
                info!(
                    source,
                    "another certificate is stored; serving the last one until API servers trust it"
                );
            }
            Err(error) => {
                warn!(source, %error, "the webhook's certificate cannot be used; serving the last one");
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
