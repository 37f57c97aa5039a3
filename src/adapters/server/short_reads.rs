//! The stream of a connection: read in portions, so that what arrived is handled before more is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection_table::PeerActivity;

/// Bytes that are read before the task yields.
const PORTION_BYTES: usize = 16 << 10;

/// A stream of which at most a portion is read at a time, and whose peer is noted as active.
///
/// h2 reads all frames that have arrived before any stream is read, and never shrinks the table that
/// holds them. A peer with small frames would make that table many times as large as the data.
#[derive(Debug)]
pub(super) struct ShortReads<T> {
    inner: T,
    peer: PeerActivity,
    read: usize,
}

impl<T> ShortReads<T> {
    pub(super) const fn new(inner: T, peer: PeerActivity) -> Self {
        Self { inner, peer, read: 0 }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ShortReads<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read >= PORTION_BYTES {
            self.read = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if read.is_pending() {
            self.read = 0;
        }
        ready!(read)?;
        self.peer.note();
        self.read += buf.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ShortReads<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;

    use super::super::connection_table::ConnectionTable;
    use super::*;

    async fn reader(bytes: &[u8]) -> ShortReads<&[u8]> {
        let place = ConnectionTable::new(1, Duration::ZERO).acquire().await;
        ShortReads::new(bytes, place.activity())
    }

    #[tokio::test]
    async fn all_bytes_are_read_in_their_order() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut read = Vec::new();

        reader(&bytes).await.read_to_end(&mut read).await.unwrap();

        assert_eq!(read, bytes);
    }

    #[tokio::test]
    async fn after_a_portion_the_reader_yields_once() {
        let bytes = vec![0; 4 * PORTION_BYTES];
        let mut reader = reader(&bytes).await;
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = || {
            let mut buffer = vec![0; PORTION_BYTES / 2];
            let mut buffer = ReadBuf::new(&mut buffer);
            Pin::new(&mut reader).poll_read(&mut cx, &mut buffer).is_ready()
        };

        assert_eq!([(); 7].map(|()| read()), [true, true, false, true, true, false, true]);
    }
}
