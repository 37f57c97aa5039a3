//! A destination with TLS, and a client of it.

use std::path::PathBuf;

use rustls::ServerConfig;
use tempfile::TempDir;
use tracebuffer::adapters::messaging::destination::AnyDestination;
use tracebuffer::adapters::messaging::destination::config::{
    CaFile, DestinationSettings, Protocol,
};
use tracebuffer::domain::delivery::{Delivered, Failure};
use tracebuffer::ports::destination::Destination;

use super::pki::{IssuedCertificate, TestAuthority, write};
use super::scripted_destination::ScriptedDestination;
use super::spans::batch;

/// A server with TLS, the settings of a client that trusts it, and the directory of its files.
pub(crate) struct TlsHarness {
    pub(crate) authority: TestAuthority,
    pub(crate) server: ScriptedDestination,
    pub(crate) settings: DestinationSettings,
    pub(crate) files: TempDir,
}

impl TlsHarness {
    /// A server for `localhost`.
    pub(crate) async fn new(protocol: Protocol, protocols: &[&str], asks_clients: bool) -> Self {
        let authority = TestAuthority::new();
        let config = authority.server_config(protocols, asks_clients);
        Self::with_config(authority, protocol, config).await
    }

    /// A server with this configuration.
    pub(crate) async fn with_config(
        authority: TestAuthority,
        protocol: Protocol,
        config: ServerConfig,
    ) -> Self {
        let server = ScriptedDestination::start_tls(protocol, config).await;
        let files = tempfile::tempdir().unwrap();
        let mut settings = server.settings();
        settings.ca_file = Some(only_authority(write(files.path(), "ca.pem", &authority.pem())));
        Self { authority, server, settings, files }
    }

    /// Gives the client a certificate.
    pub(crate) fn set_client_certificate(
        &mut self,
        IssuedCertificate { certificate, key }: &IssuedCertificate,
    ) {
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

/// A CA file whose authorities are the only ones trusted.
pub(crate) const fn only_authority(path: PathBuf) -> CaFile {
    CaFile { path, with_system_roots: false }
}

pub(crate) async fn assert_unavailable(destination: &AnyDestination) -> Failure {
    let failure = destination.send(batch(&["a"])).await.unwrap_err();
    assert!(!failure.kind.is_permanent(), "{}", failure.message);
    failure
}

pub(crate) async fn assert_delivered(destination: &AnyDestination) {
    assert_eq!(destination.send(batch(&["a"])).await, Ok(Delivered::default()));
}
