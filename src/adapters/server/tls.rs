//! Connections over TLS 1.2 and 1.3, with a certificate that may change while they are served.

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
/// The first byte of every TLS connection: its first record is part of a handshake.
const HANDSHAKE_RECORD: u8 = 22;

/// The answer to HTTP without TLS: many a person meets this port with `curl http://`.
const NOT_TLS_RESPONSE: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    connection: close\r\n\
    \r\n\
    this port speaks HTTPS only\n";
/// Most bytes taken of what was sent to the wrong port, so that the answer is not lost in a reset.
const MAX_NOT_TLS_BYTES: u64 = 16 << 10;

/// How the connections of a port are encrypted.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

/// A connection of which the first bytes have been read already.
type TlsIo =
    Join<Chain<Cursor<Vec<u8>>, ReadHalf<TlsStream<TcpStream>>>, WriteHalf<TlsStream<TcpStream>>>;

impl Tls {
    /// Takes the certificate from `certificates`, which is asked at every handshake: nothing is
    /// resumed.
    ///
    /// # Errors
    ///
    /// Those of rustls, when this build of it supports no version of TLS.
    pub fn new(certificates: Arc<dyn ResolvesServerCert>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        // A resumed session would go on with the certificate it began with.
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
            // As without TLS, all of it is the first word.
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
