//! The stream of a connection: read in portions, so that what arrived is handled before more is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

/// A stream of which at most a portion is read at a time.
///
/// h2 reads all frames that have arrived before any stream is read, and never shrinks the table that
/// holds them. A peer with small frames would make that table many times as large as the data.
#[derive(Debug)]
pub(super) struct ShortReads<T> {
    inner: Take<T>,
    portion: u64,
}

impl<T: AsyncRead> ShortReads<T> {
    /// The reader yields after `portion` bytes.
    pub(super) fn new(inner: T, portion: u64) -> Self {
        Self { inner: inner.take(portion), portion }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ShortReads<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let portion = self.portion;
        if self.inner.limit() == 0 {
            self.inner.set_limit(portion);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if read.is_pending() {
            self.inner.set_limit(portion);
        }
        read
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ShortReads<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.inner.get_mut()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.inner.get_mut()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner.get_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const PORTION: usize = 16 << 10;

    #[tokio::test]
    async fn all_bytes_are_read_in_their_order() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut read = Vec::new();

        ShortReads::new(bytes.as_slice(), PORTION as u64).read_to_end(&mut read).await.unwrap();

        assert_eq!(read, bytes);
    }

    #[test]
    fn after_a_portion_the_reader_yields_once_whatever_the_size_of_its_buffer() {
        let bytes = vec![0; 4 * PORTION];
        let mut reader = ShortReads::new(bytes.as_slice(), PORTION as u64);
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = || {
            let mut buffer = vec![0; PORTION / 4 * 3];
            let mut buffer = ReadBuf::new(&mut buffer);
            let read = Pin::new(&mut reader).poll_read(&mut cx, &mut buffer);
            read.is_ready().then(|| buffer.filled().len())
        };

        let (part, rest) = (Some(PORTION / 4 * 3), Some(PORTION / 4));
        assert_eq!([(); 7].map(|()| read()), [part, rest, None, part, rest, None, part]);
    }
}
