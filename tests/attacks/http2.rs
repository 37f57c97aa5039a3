//! An HTTP/2 client that sends what it is told to, frame by frame, and goes to every bound.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::target::connect_with_small_buffer;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_HEADER_LIST_SIZE: u16 = 6;

const FRAME_HEAD_BYTES: usize = 9;
const MAX_FRAME_BYTES: usize = 16 << 10;
/// How long the window of the connection may arrive after the settings.
const WINDOW_PATIENCE: Duration = Duration::from_millis(20);
/// How often a client that reads nothing finds out whether it still has a connection.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// Whether a client reads what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Everything,
    Nothing,
}

/// What the receiver allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerLimits {
    pub(crate) streams: u32,
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    pub(crate) header_list: usize,
}

/// One connection. Frames are collected and sent by [`Http2::flush`].
pub(crate) struct Http2 {
    pub(crate) limits: PeerLimits,
    write: OwnedWriteHalf,
    reader: Reader,
    out: Vec<u8>,
    next_stream: u32,
}

enum Reader {
    Discarding(JoinHandle<()>),
    Stopped(#[expect(dead_code, reason = "keeps the connection open")] OwnedReadHalf),
}

impl Http2 {
    /// Connects with `settings` and learns what the receiver allows.
    pub(crate) async fn open(
        address: SocketAddr,
        settings: &[(u16, u32)],
        reading: Reading,
    ) -> io::Result<Self> {
        let stream = match reading {
            Reading::Everything => TcpStream::connect(address).await?,
            Reading::Nothing => connect_with_small_buffer(address).await?,
        };
        stream.set_nodelay(true)?;
        let (mut read, mut write) = stream.into_split();
        write.write_all(&opening(settings)).await?;
        let limits = PeerLimits::read(&mut read).await?;
        write.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
        let reader = match reading {
            Reading::Everything => Reader::discard(read),
            Reading::Nothing => Reader::Stopped(read),
        };
        Ok(Self { limits, write, reader, out: Vec::new(), next_stream: 1 })
    }

    /// Connects and does not wait for settings: the defaults of HTTP/2 are used.
    pub(crate) async fn open_without_settings(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let (limits, reader) = (PeerLimits::DEFAULT, Reader::discard(read));
        Ok(Self { limits, write, reader, out: opening(&[]), next_stream: 1 })
    }

    /// Adds a frame.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.out.extend(frame(kind, flags, stream, payload));
    }

    /// Adds the head of a new request, and returns its stream.
    pub(crate) fn request(&mut self, block: &[u8], flags: u8) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        self.head(stream, block, flags);
        stream
    }

    /// Adds a head or trailers, in as many frames as they need.
    pub(crate) fn head(&mut self, stream: u32, block: &[u8], flags: u8) {
        let count = block.len().div_ceil(MAX_FRAME_BYTES);
        for (number, part) in block.chunks(MAX_FRAME_BYTES).enumerate() {
            let kind = if number == 0 { HEADERS } else { CONTINUATION };
            let first = if number == 0 { flags } else { 0 };
            let last = if number + 1 == count { END_HEADERS } else { 0 };
            self.frame(kind, first | last, stream, part);
        }
    }

    /// Adds a head that never ends, in frames of `bytes`.
    pub(crate) fn request_without_end(&mut self, block: &[u8], bytes: usize) {
        let stream = self.next_stream;
        self.next_stream += 2;
        for (number, part) in block.chunks(bytes).enumerate() {
            let kind = if number == 0 { HEADERS } else { CONTINUATION };
            self.frame(kind, 0, stream, part);
        }
    }

    /// Sends the frames.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.write.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write.write_all(bytes).await
    }

    /// Ends this side of the connection.
    pub(crate) async fn half_close(&mut self) -> io::Result<()> {
        self.write.shutdown().await
    }

    /// Stays until the receiver ends the connection.
    pub(crate) async fn hold(mut self) -> io::Result<()> {
        if let Reader::Discarding(reader) = &mut self.reader {
            return reader.await.map_err(io::Error::other);
        }
        loop {
            sleep(PING_INTERVAL).await;
            self.send(&frame(PING, 0, 0, &[0; 8])).await?;
        }
    }
}

impl Reader {
    fn discard(mut read: OwnedReadHalf) -> Self {
        Self::Discarding(tokio::spawn(async move {
            // Ends with the connection, however that ends.
            let _ = copy(&mut read, &mut sink()).await;
        }))
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        if let Reader::Discarding(reader) = &self.reader {
            reader.abort();
        }
    }
}

impl PeerLimits {
    /// What a client may assume; there is no limit of streams and heads, so these are usual ones.
    const DEFAULT: Self = Self {
        streams: 100,
        stream_window: 0xffff,
        connection_window: 0xffff,
        header_list: 16 << 10,
    };

    async fn read(read: &mut OwnedReadHalf) -> io::Result<Self> {
        let mut limits = Self::DEFAULT;
        loop {
            let (kind, payload) = read_frame(read).await?;
            if kind == SETTINGS && !payload.is_empty() {
                limits.apply(&payload);
                break;
            }
        }
        if let Ok(frame) = timeout(WINDOW_PATIENCE, read_frame(read)).await {
            let (kind, payload) = frame?;
            if let (WINDOW_UPDATE, Ok(more)) = (kind, <[u8; 4]>::try_from(payload.as_slice())) {
                limits.connection_window += u32::from_be_bytes(more);
            }
        }
        Ok(limits)
    }

    fn apply(&mut self, settings: &[u8]) {
        for setting in settings.chunks_exact(6) {
            if let &[a, b, c, d, e, f] = setting {
                let value = u32::from_be_bytes([c, d, e, f]);
                match u16::from_be_bytes([a, b]) {
                    MAX_CONCURRENT_STREAMS => self.streams = value.min(1_000),
                    INITIAL_WINDOW_SIZE => self.stream_window = value,
                    MAX_HEADER_LIST_SIZE => self.header_list = value.min(1 << 20) as usize,
                    _ => {}
                }
            }
        }
    }
}

async fn read_frame(read: &mut OwnedReadHalf) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; FRAME_HEAD_BYTES];
    read.read_exact(&mut head).await?;
    let [a, b, c, kind, ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    read.read_exact(&mut payload).await?;
    Ok((kind, payload))
}

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The preface and the settings.
pub(crate) fn opening(settings: &[(u16, u32)]) -> Vec<u8> {
    [PREFACE, &self::settings(settings)].concat()
}

/// A frame of settings.
pub(crate) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = settings
        .iter()
        .flat_map(|(name, value)| name.to_be_bytes().into_iter().chain(value.to_be_bytes()))
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}
