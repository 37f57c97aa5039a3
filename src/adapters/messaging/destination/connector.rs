//! Opens connections: looks the host up, dials its addresses, shakes hands.

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
use super::tls::{TlsFileVersions, TlsFiles};
use crate::domain::delivery::Failure;

/// ALPN names (RFC 7301 and RFC 9113).
const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Later than anybody waits; more would not fit the clock.
const MAX_TIMEOUT: Duration = Duration::from_hours(24 * 365);

/// Finds within a minute that the other end of an idle connection is gone.
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
    server_name: Option<ServerName<'static>>,
}

/// An open connection, ready for HTTP.
pub(super) struct Connected {
    pub(super) stream: Box<dyn IoStream>,
    /// Whether to speak HTTP/2 on it.
    pub(super) http2: bool,
}

/// A connection, encrypted or not.
pub(super) trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> IoStream for T {}

/// The moment by which a send must be over, and how long it was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) timeout: Duration,
}

impl Deadline {
    pub(super) fn after(given: Duration) -> Self {
        Self { at: Instant::now() + given.min(MAX_TIMEOUT), timeout: given }
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
            server_name: settings.server_name.clone(),
        }
    }

    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns which versions of the certificate files a connection made now would use.
    pub(super) fn file_versions(&self) -> TlsFileVersions {
        self.files.versions()
    }

    /// Connects. Every step is made afresh: addresses are looked up and files are read again.
    pub(super) async fn connect(&self, deadline: Deadline) -> Result<Connected, Failure> {
        // Files first: a mistake in them needs no network to be found.
        let tls = if self.endpoint.tls { Some(self.tls_connector()?) } else { None };
        let tcp = self.dial(self.resolve(deadline).await?, deadline).await?;
        match tls {
            None => Ok(Connected {
                stream: Box::new(tcp),
                http2: matches!(self.protocol, Protocol::Grpc),
            }),
            Some((connector, name)) => self.tls_handshake(&connector, name, tcp, deadline).await,
        }
    }

    fn tls_connector(&self) -> Result<(TlsConnector, ServerName<'static>), Failure> {
        let protocols: &[&[u8]] = match self.protocol {
            Protocol::Grpc => &[ALPN_HTTP2],
            Protocol::Http => &[ALPN_HTTP2, ALPN_HTTP1],
        };
        let config = self.files.client_config(protocols)?;
        Ok((TlsConnector::from(Arc::new(config)), self.server_name()?))
    }

    /// Returns the name that the server is asked for, and that its certificate must bear.
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
                    .failure(SendStage::Dns, &format!("no answer within {:?}", deadline.timeout)))
            }
            Ok(Err(error)) => Err(self.failure(SendStage::Dns, &error_chain(&error))),
            Ok(Ok(addresses)) => Ok(addresses.collect()),
        }
    }

    /// Tries one address after the other, each with an equal share of the time that is left.
    async fn dial(
        &self,
        addresses: Vec<SocketAddr>,
        deadline: Deadline,
    ) -> Result<TcpStream, Failure> {
        let mut tried = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            let waiting = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = deadline.remaining() / waiting;
            let error = match timeout_at(Instant::now() + share, TcpStream::connect(address)).await
            {
                Ok(Ok(stream)) => match configure_socket(stream) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => error.to_string(),
                },
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {share:.0?}"),
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
                let late = format!("no answer within {:?}", deadline.timeout);
                return Err(self.failure(SendStage::Tls, &late));
            }
            Ok(Err(error)) => return Err(self.failure(SendStage::Tls, &handshake_error(&error))),
            Ok(Ok(stream)) => stream,
        };
        let chosen = stream.get_ref().1.alpn_protocol();
        // Servers without ALPN exist; over gRPC there is nothing but HTTP/2 to speak with them.
        let http2 = chosen == Some(ALPN_HTTP2) || matches!(self.protocol, Protocol::Grpc);
        Ok(Connected { stream: Box::new(stream), http2 })
    }

    /// What may be wrong where the peer has never said anything that makes sense.
    pub(super) const fn wrong_port_hint(&self) -> &'static str {
        match (self.protocol, self.endpoint.tls) {
            (Protocol::Grpc, true) => "; is this its OTLP/gRPC port?",
            (Protocol::Grpc, false) => {
                "; is this its OTLP/gRPC port, or does its address begin with https://?"
            }
            (Protocol::Http, true) => "; is this its OTLP/HTTP port?",
            (Protocol::Http, false) => {
                "; is this its OTLP/HTTP port, or does its address begin with https://?"
            }
        }
    }

    /// A failure of `step`, which names the endpoint.
    pub(super) fn failure(&self, step: SendStage, reason: &str) -> Failure {
        let doing = match step {
            SendStage::Dns => "cannot look up",
            SendStage::Connect => "cannot connect to",
            SendStage::Tls => "no TLS connection to",
            SendStage::File | SendStage::Reset | SendStage::Response | SendStage::Console => {
                "no answer from"
            }
        };
        unavailable(step, format!("{doing} {}: {reason}", self.endpoint.authority()))
    }
}

/// Sets what the kernel should know of every connection.
fn configure_socket(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    // Between batches, firewalls forget silent connections, without a word to either end.
    SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
    // A closed connection has nothing left to say. Otherwise the kernel would hold, and charge to
    // this container, megabytes that a peer which no longer reads was to be sent.
    stream.set_zero_linger()?;
    Ok(stream)
}

/// Says what went wrong in a handshake, and what to do where that is known.
fn handshake_error(error: &io::Error) -> String {
    let remedy = match tls_error(error) {
        Some(rustls::Error::InvalidMessage(_)) => {
            "; it does not seem to speak TLS: if that is so, its address begins with http://"
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "; if it is the right server, set the TLS server name to one of its certificate",
        Some(rustls::Error::InvalidCertificate(_)) => {
            "; if a private authority issued its certificate, name that authority's CA file"
        }
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => {
            "; it takes no HTTP/2: is this its OTLP/gRPC port?"
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
