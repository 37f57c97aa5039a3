//! Detects the protocol of a connection by the first bytes of the peer.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;

/// The whole preface: a peer that stops in the middle has not announced a protocol yet.
pub(super) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpVersion {
    Http1,
    Http2,
}

/// The stream of an opened connection.
pub(super) trait IoStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> IoStream for T {}

/// How connections of a port are opened.
pub(super) trait ProtocolDetector: Clone + Send + Sync + 'static {
    /// The stream that requests are read from once a connection is open.
    type Stream: IoStream;

    /// Waits for the peer's first bytes; the caller sets the timeout.
    fn detect(
        &self,
        stream: TcpStream,
    ) -> impl Future<Output = io::Result<(Self::Stream, HttpVersion)>> + Send;
}

/// Without encryption: the first bytes announce the protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plaintext;

impl ProtocolDetector for Plaintext {
    type Stream = TcpStream;

    async fn detect(&self, stream: TcpStream) -> io::Result<(TcpStream, HttpVersion)> {
        let protocol = detect_http_version(&stream).await?;
        Ok((stream, protocol))
    }
}

/// Peeks at the first bytes without consuming them.
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
        // A part of the preface has arrived; peeking again would return immediately.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
