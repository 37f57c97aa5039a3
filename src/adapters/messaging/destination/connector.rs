//! Opening connections: name lookup, TCP, TLS handshake.

use std::error::Error;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;

use super::config::{DestinationSettings, Endpoint, Protocol, Proxy, ServerName};
use super::deadline::Deadline;
use super::dial::{DialError, dial};
use super::failure::{SendStage, error_chain, unavailable};
use super::files::unreadable;
use super::io_stream::IoStream;
use super::tls::{TlsFileVersions, TlsFiles};
use super::tls_remedy::{concerns_client_certificate, tls_error, tls_remedy};
use super::tunnel::open_tunnel;
use crate::adapters::files::FileReads;
use crate::domain::delivery::Failure;

/// ALPN names (RFC 7301 and RFC 9113).
const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Opens connections to one endpoint.
#[derive(Debug)]
pub(super) struct Connector {
    endpoint: Endpoint,
    protocol: Protocol,
    files: Arc<TlsFiles>,
    file_reads: FileReads,
    server_name: Option<ServerName<'static>>,
    proxy: Option<Proxy>,
}

/// An open connection, ready for HTTP.
pub(super) struct Connected {
    pub(super) stream: Box<dyn IoStream>,
    /// Whether to use HTTP/2 on it.
    pub(super) http2: bool,
}

impl Connector {
    pub(super) fn new(settings: &DestinationSettings) -> Self {
        Self {
            endpoint: settings.endpoint.clone(),
            protocol: settings.protocol,
            files: Arc::new(TlsFiles::new(settings)),
            file_reads: FileReads::default(),
            server_name: settings.server_name.clone(),
            proxy: settings.proxy.clone(),
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
        let files = Arc::clone(&self.files);
        let read = self.file_reads.run(move || read(&files)).await;
        read.map_err(|error| unreadable("the certificate files", self.files.paths(), &error))
    }

    /// Connects. Nothing is cached: the addresses are looked up and the files are read each time.
    pub(super) async fn connect(&self, deadline: Deadline) -> Result<Connected, Failure> {
        // Files first, so that an error in them is reported even without a network.
        let tls = if self.endpoint.tls { Some(self.tls_connector().await?) } else { None };
        let stream: Box<dyn IoStream> = match &self.proxy {
            Some(proxy) => self.tunnel(proxy, deadline).await?,
            None => Box::new(self.dial(deadline).await?),
        };
        match tls {
            None => Ok(Connected { stream, http2: matches!(self.protocol, Protocol::Grpc) }),
            Some((connector, name)) => self.tls_handshake(&connector, name, stream, deadline).await,
        }
    }

    async fn dial(&self, deadline: Deadline) -> Result<TcpStream, Failure> {
        let dialed = dial(&self.endpoint.host, self.endpoint.port, deadline).await;
        dialed.map_err(|DialError { stage, reason }| self.failure(stage, &reason))
    }

    /// Connects through `proxy`, which looks up the name of the endpoint.
    async fn tunnel(
        &self,
        proxy: &Proxy,
        deadline: Deadline,
    ) -> Result<Box<dyn IoStream>, Failure> {
        let failure = |reason: &str| {
            let endpoint = self.endpoint.authority();
            unavailable(
                SendStage::Proxy,
                format!("cannot connect to {endpoint} through the proxy {proxy}: {reason}"),
            )
        };
        let tls =
            if proxy.tls { Some(self.read_files(TlsFiles::proxy_config).await??) } else { None };
        let opening = async {
            let stream = connect_to_proxy(proxy, tls, deadline).await?;
            open_tunnel(stream, proxy, &self.endpoint.authority()).await
        };
        match timeout_at(deadline.at, opening).await {
            Err(_) => Err(failure(&format!("no response within {:?}", deadline.timeout))),
            Ok(Err(reason)) => Err(failure(&reason)),
            Ok(Ok(stream)) => Ok(Box::new(stream)),
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

    async fn tls_handshake(
        &self,
        connector: &TlsConnector,
        name: ServerName<'static>,
        stream: Box<dyn IoStream>,
        deadline: Deadline,
    ) -> Result<Connected, Failure> {
        let stream = match timeout_at(deadline.at, connector.connect(name, stream)).await {
            Err(_) => {
                let reason = format!("no response within {:?}", deadline.timeout);
                return Err(self.failure(SendStage::Tls, &reason));
            }
            Ok(Err(error)) => {
                let remedy = self.tls_remedy(&error);
                let reason = format!("{}{remedy}", error_chain(&error));
                return Err(self.failure(SendStage::Tls, &reason));
            }
            Ok(Ok(stream)) => stream,
        };
        let chosen = stream.get_ref().1.alpn_protocol();
        // Some servers do not support ALPN; gRPC always means HTTP/2.
        let http2 = chosen == Some(ALPN_HTTP2) || matches!(self.protocol, Protocol::Grpc);
        Ok(Connected { stream: Box::new(stream), http2 })
    }

    /// Returns how to fix a TLS connection that failed with `error`, as far as that is known.
    pub(super) fn tls_remedy(&self, error: &(dyn Error + 'static)) -> String {
        let Some(error) = tls_error(error) else { return String::new() };
        let problem = self.files.client_problem().filter(|_| concerns_client_certificate(&error));
        match problem {
            Some(problem) => format!("; {problem}: replace it"),
            None => tls_remedy(&error, self.files.context()).to_owned(),
        }
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
            SendStage::Proxy
            | SendStage::File
            | SendStage::Reset
            | SendStage::Response
            | SendStage::Console => "no response from",
        };
        unavailable(stage, format!("{problem} {}: {reason}", self.endpoint.authority()))
    }
}

/// Connects to the proxy itself.
async fn connect_to_proxy(
    proxy: &Proxy,
    tls: Option<ClientConfig>,
    deadline: Deadline,
) -> Result<Box<dyn IoStream>, String> {
    let tcp = dial(&proxy.host, proxy.port, deadline).await.map_err(|error| error.reason)?;
    let Some(config) = tls else { return Ok(Box::new(tcp)) };
    let name = ServerName::try_from(proxy.host.clone())
        .map_err(|_| "its host is neither a DNS name nor an IP address".to_owned())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    Ok(Box::new(stream.map_err(|error| error_chain(&error))?))
}
