//! A certificate authority for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

/// A certificate authority that issues certificates and configures servers with them.
pub(crate) struct TestAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, both in PEM.
pub(crate) struct IssuedCertificate {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl TestAuthority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn issue(&self, name: &str) -> IssuedCertificate {
        self.issue_with(name, |_| {})
    }

    /// The same, with changed parameters.
    pub(crate) fn issue_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> IssuedCertificate {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        IssuedCertificate { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A server for `localhost` that speaks the `protocols`, with or without asking its clients for
    /// a certificate of this authority.
    pub(crate) fn server_config(&self, protocols: &[&str], asks_clients: bool) -> ServerConfig {
        self.server_config_for("localhost", protocols, asks_clients)
    }

    /// The same, for another name or an IP address.
    pub(crate) fn server_config_for(
        &self,
        name: &str,
        protocols: &[&str],
        asks_clients: bool,
    ) -> ServerConfig {
        let (chain, key) = self.issue(name).identity();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks_clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols =
            protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }

    /// A server that refuses clients unless they ask for `name` by SNI.
    pub(crate) fn server_config_requiring_sni(
        &self,
        name: &str,
        protocols: &[&str],
    ) -> ServerConfig {
        let mut config = self.server_config_for(name, protocols, false);
        let (chain, key) = self.issue(name).identity();
        let identity = CertifiedKey::from_der(chain, key, config.crypto_provider()).unwrap();
        let mut by_name = ResolvesServerCertUsingSni::new();
        by_name.add(name, identity).unwrap();
        config.cert_resolver = Arc::new(by_name);
        config
    }
}

impl IssuedCertificate {
    /// A certificate that signs itself, as `openssl req -x509` makes it: of an authority.
    pub(crate) fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A server that presents this certificate.
    pub(crate) fn server_config(&self, protocols: &[&str]) -> ServerConfig {
        let (chain, key) = self.identity();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols =
            protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }

    fn identity(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        (vec![certificate], PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }
}

/// Writes a file into a directory and returns its path.
pub(crate) fn write(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path
}
