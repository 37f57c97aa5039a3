//! A destination with TLS, and a client of it.

use std::path::PathBuf;

use rustls::ServerConfig;
use tempfile::TempDir;
use tracebuffer::adapters::messaging::destination::AnyDestination;
use tracebuffer::adapters::messaging::destination::config::{
    CaFile, DestinationSettings, Protocol,
};
use tracebuffer::domain::delivery::{Delivered, Failure, FailureKind};
use tracebuffer::ports::destination::Destination;

use super::pki::{Authority, Issued, write};
use super::scripted_destination::ScriptedDestination;
use super::spans::batch;

/// A server with TLS, the settings of a client that trusts it, and the place of its files.
pub(crate) struct Scene {
    pub(crate) authority: Authority,
    pub(crate) server: ScriptedDestination,
    pub(crate) settings: DestinationSettings,
    pub(crate) files: TempDir,
}

impl Scene {
    /// A server for `localhost`.
    pub(crate) async fn new(protocol: Protocol, protocols: &[&str], asks_clients: bool) -> Self {
        let authority = Authority::new();
        let config = authority.server(protocols, asks_clients);
        Self::with(authority, protocol, config).await
    }

    /// A server that is configured so.
    pub(crate) async fn with(
        authority: Authority,
        protocol: Protocol,
        config: ServerConfig,
    ) -> Self {
        let server = ScriptedDestination::start_tls(protocol, config).await;
        let files = tempfile::tempdir().unwrap();
        let mut settings = server.settings();
        settings.ca_file = Some(alone(write(files.path(), "ca.pem", &authority.pem())));
        Self { authority, server, settings, files }
    }

    /// Gives the client a certificate.
    pub(crate) fn show(&mut self, Issued { certificate, key }: &Issued) {
        let directory = self.files.path();
        self.settings.client_certificate_file = Some(write(directory, "tls.crt", certificate));
        self.settings.client_key_file = Some(write(directory, "tls.key", key));
    }

    pub(crate) fn destination(&self) -> AnyDestination {
        AnyDestination::from_settings(Some(&self.settings))
    }

    /// The host that the last request was for.
    pub(crate) fn last_authority(&self) -> String {
        self.server.requests().pop().unwrap().authority
    }

    /// The value of a header of the last request.
    pub(crate) fn last_header(&self, name: &str) -> Option<String> {
        let request = self.server.requests().pop().unwrap();
        request.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }
}

/// A file of authorities, none but which are trusted.
pub(crate) const fn alone(path: PathBuf) -> CaFile {
    CaFile { path, with_system_roots: false }
}

pub(crate) async fn refused(destination: &AnyDestination) -> Failure {
    let failure = destination.send(batch(&["a"])).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{}", failure.message);
    failure
}

pub(crate) async fn sent(destination: &AnyDestination) {
    assert_eq!(destination.send(batch(&["a"])).await, Ok(Delivered::default()));
}
