//! Probes a TLS port of this process as a client.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::listen::loopback_if_unspecified;

/// Interval of the probe while the port answers, and while it does not.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Timeout of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of the last probe of a port; [`run`](Self::run) keeps it current.
pub struct TlsProbe {
    address: SocketAddr,
    client: TlsConnector,
    is_healthy: AtomicBool,
}

impl TlsProbe {
    /// Creates a probe of the port that listens at `listening`; an unspecified address is probed over
    /// loopback.
    ///
    /// # Errors
    ///
    /// Errors of rustls, if this build of it supports no TLS version.
    pub fn new(listening: SocketAddr) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(AcceptAnyCertificate(Arc::clone(&provider)));
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        let address = loopback_if_unspecified(listening);
        let client = Arc::new(client).into();
        Ok(Self { address, client, is_healthy: AtomicBool::new(false) })
    }

    /// Returns whether the last handshake succeeded.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.is_healthy.load(Ordering::Acquire)
    }

    /// Probes indefinitely.
    pub async fn run(&self) {
        loop {
            let answers =
                matches!(timeout(HANDSHAKE_TIMEOUT, self.tls_handshake()).await, Ok(Ok(())));
            self.is_healthy.store(answers, Ordering::Release);
            sleep(if answers { PROBE_INTERVAL } else { RETRY_INTERVAL }).await;
        }
    }

    async fn tls_handshake(&self) -> io::Result<()> {
        let stream = TcpStream::connect(self.address).await?;
        self.client.connect(self.address.ip().into(), stream).await.map(drop)
    }
}

/// Accepts any certificate whose private key the port holds. Whether API servers trust the certificate
/// is checked elsewhere.
struct AcceptAnyCertificate(Arc<CryptoProvider>);

impl fmt::Debug for AcceptAnyCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HoldsItsKey")
    }
}

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
