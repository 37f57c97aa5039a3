//! Connections over TLS 1.2 and 1.3, with a certificate that may change at any time.

use std::io::{self, Cursor};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use tokio::io::{
    AsyncReadExt, AsyncWriteExt, Chain, Join, ReadHalf, WriteHalf, copy, join, sink, split,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::protocol_detector::{HTTP2_PREFACE, HttpVersion, ProtocolDetector};

const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";
/// The first byte of every TLS connection: the type of a handshake record.
const HANDSHAKE_RECORD: u8 = 22;

/// The response to HTTP without TLS, for people who try this port with `curl http://`.
const NOT_TLS_RESPONSE: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    connection: close\r\n\
    \r\n\
    this port speaks HTTPS only\n";
/// Maximum bytes read from a client without TLS, so that the response is not lost in a reset.
const MAX_NOT_TLS_BYTES: u64 = 16 << 10;

/// The TLS configuration of a port.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

/// A connection whose first bytes have been read already.
type TlsIo =
    Join<Chain<Cursor<Vec<u8>>, ReadHalf<TlsStream<TcpStream>>>, WriteHalf<TlsStream<TcpStream>>>;

impl Tls {
    /// Creates a configuration that takes the certificate from `certificates` at every handshake;
    /// sessions are not resumed.
    ///
    /// # Errors
    ///
    /// Errors of rustls, if this build of it supports no TLS version.
    pub fn new(certificates: Arc<dyn ResolvesServerCert>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        // A resumed session would keep the certificate of the first handshake.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { acceptor: Arc::new(config).into() })
    }
}

impl ProtocolDetector for Tls {
    type Stream = TlsIo;

    async fn detect(&self, mut stream: TcpStream) -> io::Result<(TlsIo, HttpVersion)> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE_RECORD] {
            return Err(reject_plaintext(&mut stream).await);
        }
        let mut stream = self.acceptor.accept(stream).await?;
        let mut taken = vec![];
        let mut protocol = HttpVersion::Http1;
        if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) {
            protocol = HttpVersion::Http2;
            // As without TLS, the timeout covers all of the first bytes.
            taken.resize(HTTP2_PREFACE.len(), 0);
            stream.read_exact(&mut taken).await?;
        }
        let (reader, writer) = split(stream);
        Ok((join(Cursor::new(taken).chain(reader), writer), protocol))
    }
}

async fn reject_plaintext(stream: &mut TcpStream) -> io::Error {
    let answered = async {
        stream.write_all(NOT_TLS_RESPONSE).await?;
        stream.shutdown().await?;
        copy(&mut stream.take(MAX_NOT_TLS_BYTES), &mut sink()).await
    };
    match answered.await {
        Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "it does not speak TLS"),
        Err(error) => error,
    }
}
