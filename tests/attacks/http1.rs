//! An HTTP/1.1 client, byte by byte.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;

use crate::payload::Body;

/// The head of a response is shorter than this.
const MAX_HEAD_BYTES: usize = 8 << 10;

/// A keep-alive connection.
pub(crate) struct Http1 {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Http1 {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends a whole request and returns the status of its response.
    pub(crate) async fn post(&mut self, body: &Body) -> io::Result<u16> {
        Ok(self.exchange(body).await?.0)
    }

    /// The same, and the content of its response.
    pub(crate) async fn exchange(&mut self, body: &Body) -> io::Result<(u16, Vec<u8>)> {
        self.stream.write_all(post(body, body.bytes.len() as u64).as_bytes()).await?;
        self.stream.write_all(&body.bytes).await?;
        self.response_with_content().await
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ends this side of the connection.
    pub(crate) async fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Reads and discards until the receiver ends the connection.
    pub(crate) async fn hold(mut self) -> io::Result<()> {
        copy(&mut self.stream, &mut sink()).await.map(drop)
    }

    /// Reads a response with a `content-length`, and returns its status.
    pub(crate) async fn response(&mut self) -> io::Result<u16> {
        Ok(self.response_with_content().await?.0)
    }

    /// The same, and its content.
    pub(crate) async fn response_with_content(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let end = loop {
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
            if self.received.len() > MAX_HEAD_BYTES
                || read_some(&mut self.stream, &mut self.received).await? == 0
            {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head =
            String::from_utf8_lossy(self.received.get(..end).unwrap_or_default()).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        while self.received.len() < end + length {
            if read_some(&mut self.stream, &mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let content = self.received.drain(..end + length).skip(end).collect();
        Ok((status.ok_or(io::ErrorKind::InvalidData)?, content))
    }
}

/// The head of a request that announces `length` bytes.
pub(crate) fn post(body: &Body, length: u64) -> String {
    let (kind, encoding) = (body.content_type, body.encoding);
    format!(
        "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\n\
         content-encoding: {encoding}\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// A GET over a connection that stays open.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
}

async fn read_some(
    stream: &mut (impl AsyncRead + Unpin),
    received: &mut Vec<u8>,
) -> io::Result<usize> {
    received.reserve(4 << 10);
    stream.read_buf(received).await
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
