//! Opening connections: name lookup, TCP, TLS handshake.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::CertificateError;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::config::{DestinationSettings, Endpoint, Protocol, ServerName};
use super::failure::{SendStage, error_chain, printable, unavailable};
use super::files::unreadable;
use super::tls::{TlsFileVersions, TlsFiles};
use crate::adapters::files::FileReads;
use crate::domain::delivery::Failure;

/// ALPN names (RFC 7301 and RFC 9113).
const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Cap on timeouts: a later deadline could overflow the clock.
const MAX_TIMEOUT: Duration = Duration::from_hours(24 * 365);

/// Detects within a minute that the peer of an idle connection is gone.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(30))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);

/// Opens connections to one endpoint.
#[derive(Debug)]
pub(super) struct Connector {
    endpoint: Endpoint,
    protocol: Protocol,
    files: TlsFiles,
    file_reads: FileReads,
    server_name: Option<ServerName<'static>>,
}

/// An open connection, ready for HTTP.
pub(super) struct Connected {
    pub(super) stream: Box<dyn IoStream>,
    /// Whether to use HTTP/2 on it.
    pub(super) http2: bool,
}

/// A connection, encrypted or not.
pub(super) trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> IoStream for T {}

/// The time by which a send must be complete, and the timeout it was computed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) timeout: Duration,
}

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        Self { at: Instant::now() + timeout.min(MAX_TIMEOUT), timeout }
    }

    pub(super) fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

impl Connector {
    pub(super) fn new(settings: &DestinationSettings) -> Self {
        Self {
            endpoint: settings.endpoint.clone(),
            protocol: settings.protocol,
            files: TlsFiles::new(settings),
            file_reads: FileReads::default(),
            server_name: settings.server_name.clone(),
        }
    }

    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the versions of the certificate files that a new connection would use.
    pub(super) async fn file_versions(&self) -> Result<TlsFileVersions, Failure> {
        if self.files.paths().next().is_none() {
            return Ok(TlsFileVersions::default());
        }
        self.read_files(TlsFiles::versions).await
    }

    async fn read_files<T: Send + 'static>(
        &self,
        read: impl FnOnce(&TlsFiles) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let files = self.files.clone();
        let read = self.file_reads.run(move || read(&files)).await;
        read.map_err(|error| unreadable("the certificate files", self.files.paths(), &error))
    }

    /// Connects. Nothing is cached: the addresses are looked up and the files are read each time.
    pub(super) async fn connect(&self, deadline: Deadline) -> Result<Connected, Failure> {
        // Files first, so that an error in them is reported even without a network.
        let tls = if self.endpoint.tls { Some(self.tls_connector().await?) } else { None };
        let tcp = self.dial(self.resolve(deadline).await?, deadline).await?;
        match tls {
            None => Ok(Connected {
                stream: Box::new(tcp),
                http2: matches!(self.protocol, Protocol::Grpc),
            }),
            Some((connector, name)) => self.tls_handshake(&connector, name, tcp, deadline).await,
        }
    }

    async fn tls_connector(&self) -> Result<(TlsConnector, ServerName<'static>), Failure> {
        let protocols: &'static [&'static [u8]] = match self.protocol {
            Protocol::Grpc => &[ALPN_HTTP2],
            Protocol::Http => &[ALPN_HTTP2, ALPN_HTTP1],
        };
        let config = self.read_files(|files| files.client_config(protocols)).await??;
        Ok((TlsConnector::from(Arc::new(config)), self.server_name()?))
    }

    /// Returns the name to send as SNI and to verify the certificate against.
    fn server_name(&self) -> Result<ServerName<'static>, Failure> {
        if let Some(name) = &self.server_name {
            return Ok(name.clone());
        }
        ServerName::try_from(self.endpoint.host.clone()).map_err(|_| {
            self.failure(SendStage::Tls, "its host is neither a DNS name nor an IP address")
        })
    }

    async fn resolve(&self, deadline: Deadline) -> Result<Vec<SocketAddr>, Failure> {
        let host = self.endpoint.host.as_str();
        let lookup = tokio::net::lookup_host((host, self.endpoint.port));
        match timeout_at(deadline.at, lookup).await {
            Err(_) => {
                Err(self
                    .failure(SendStage::Dns, &format!("no response within {:?}", deadline.timeout)))
            }
            Ok(Err(error)) => Err(self.failure(SendStage::Dns, &error_chain(&error))),
            Ok(Ok(addresses)) => Ok(addresses.collect()),
        }
    }

    /// Tries the addresses in order, each for an equal share of the remaining time.
    async fn dial(
        &self,
        addresses: Vec<SocketAddr>,
        deadline: Deadline,
    ) -> Result<TcpStream, Failure> {
        let mut tried = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = deadline.remaining() / left;
            let error = match timeout_at(Instant::now() + share, TcpStream::connect(address)).await
            {
                Ok(Ok(stream)) => match configure_socket(stream) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => error.to_string(),
                },
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no response within {share:.0?}"),
            };
            tried.push(format!("{address}: {error}"));
        }
        if tried.is_empty() {
            return Err(self.failure(SendStage::Dns, "the name has no address"));
        }
        Err(self.failure(SendStage::Connect, &printable(&tried.join("; "))))
    }

    async fn tls_handshake(
        &self,
        connector: &TlsConnector,
        name: ServerName<'static>,
        tcp: TcpStream,
        deadline: Deadline,
    ) -> Result<Connected, Failure> {
        let stream = match timeout_at(deadline.at, connector.connect(name, tcp)).await {
            Err(_) => {
                let reason = format!("no response within {:?}", deadline.timeout);
                return Err(self.failure(SendStage::Tls, &reason));
            }
            Ok(Err(error)) => return Err(self.failure(SendStage::Tls, &handshake_error(&error))),
            Ok(Ok(stream)) => stream,
        };
        let chosen = stream.get_ref().1.alpn_protocol();
        // Some servers do not support ALPN; gRPC always means HTTP/2.
        let http2 = chosen == Some(ALPN_HTTP2) || matches!(self.protocol, Protocol::Grpc);
        Ok(Connected { stream: Box::new(stream), http2 })
    }

    /// Returns a hint for a peer that has never sent a valid response.
    pub(super) const fn wrong_port_hint(&self) -> &'static str {
        match (self.protocol, self.endpoint.tls) {
            (Protocol::Grpc, true) => "; is this its OTLP/gRPC port?",
            (Protocol::Grpc, false) => {
                "; is this its OTLP/gRPC port, or must the endpoint begin with https://?"
            }
            (Protocol::Http, true) => "; is this its OTLP/HTTP port?",
            (Protocol::Http, false) => {
                "; is this its OTLP/HTTP port, or must the endpoint begin with https://?"
            }
        }
    }

    /// Returns the failure of `stage`; its message names the endpoint.
    pub(super) fn failure(&self, stage: SendStage, reason: &str) -> Failure {
        let problem = match stage {
            SendStage::Dns => "cannot look up",
            SendStage::Connect => "cannot connect to",
            SendStage::Tls => "no TLS connection to",
            SendStage::File | SendStage::Reset | SendStage::Response | SendStage::Console => {
                "no response from"
            }
        };
        unavailable(stage, format!("{problem} {}: {reason}", self.endpoint.authority()))
    }
}

/// Sets the socket options of a connection.
fn configure_socket(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    // Firewalls silently drop connections that are idle between batches.
    SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
    // Discards unsent data on close. Otherwise the kernel would keep megabytes for a peer that no
    // longer reads, and charge them to this container's memory.
    stream.set_zero_linger()?;
    Ok(stream)
}

/// Returns the error of a handshake, and how to fix it if that is known.
fn handshake_error(error: &io::Error) -> String {
    let remedy = match tls_error(error) {
        Some(rustls::Error::InvalidMessage(_)) => {
            "; the peer does not seem to use TLS: if so, the endpoint must begin with http://"
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "; if it is the right server, set the TLS server name to a name in its certificate",
        Some(rustls::Error::InvalidCertificate(_)) => {
            "; if a private authority issued its certificate, set the CA file of that authority"
        }
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => {
            "; it does not accept HTTP/2: is this its OTLP/gRPC port?"
        }
        _ => "",
    };
    format!("{}{remedy}", error_chain(error))
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let inner: &(dyn Error + Send + Sync) = error.get_ref()?;
    inner.downcast_ref()
}

#[cfg(test)]
mod tests;
