//! How a connection begins: what the peer's first word is, and which protocol it announces.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;

/// All of it, so that a peer that stops in the middle has not yet said its first word.
pub(super) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpVersion {
    Http1,
    Http2,
}

/// What an opened connection is read from and written to.
pub(super) trait IoStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> IoStream for T {}

/// How the connections of a port begin.
pub(super) trait ProtocolDetector: Clone + Send + Sync + 'static {
    /// What requests are read from once a connection is open.
    type Stream: IoStream;

    /// Hears the peer's first word; the caller limits the time.
    fn detect(
        &self,
        stream: TcpStream,
    ) -> impl Future<Output = io::Result<(Self::Stream, HttpVersion)>> + Send;
}

/// Without encryption: the first bytes tell the protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plaintext;

impl ProtocolDetector for Plaintext {
    type Stream = TcpStream;

    async fn detect(&self, stream: TcpStream) -> io::Result<(TcpStream, HttpVersion)> {
        let protocol = detect_http_version(&stream).await?;
        Ok((stream, protocol))
    }
}

/// Looks at the first bytes without taking them.
async fn detect_http_version(stream: &TcpStream) -> io::Result<HttpVersion> {
    let mut start = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut start).await?;
        let (seen, wanted) = (start.get(..seen), HTTP2_PREFACE.get(..seen));
        if seen != wanted || seen == Some(&[]) {
            return Ok(HttpVersion::Http1);
        }
        if wanted == Some(HTTP2_PREFACE) {
            return Ok(HttpVersion::Http2);
        }
        if stream.ready(Interest::READABLE).await?.is_read_closed() {
            return Ok(HttpVersion::Http1);
        }
        // A part of the preface is there; peeking again would return at once.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
