//! Cooperative compression of request bodies.

use std::io::{self, Write};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::write::GzEncoder;

use super::body::Rope;
use super::config::Compression;

/// Bytes compressed before the task yields to others: well under a millisecond of work.
const SLICE_BYTES: usize = 64 * 1024;
/// Size of one output block.
const BLOCK_BYTES: usize = 64 * 1024;
/// The fastest level of both codecs.
const LEVEL: u32 = 1;

/// Collects output in blocks of one size, so that growing never copies or doubles it.
#[derive(Default)]
struct BlockWriter {
    full: Rope,
    open: BytesMut,
}

/// Compresses `body` into one gzip member or one zstd frame; returns it unchanged for
/// [`Compression::None`].
///
/// # Errors
///
/// An error of the codec; both fail only for lack of memory.
pub(super) async fn compress(body: Rope, how: Compression) -> io::Result<Rope> {
    match how {
        Compression::None => Ok(body),
        Compression::Gzip => {
            let level = flate2::Compression::new(LEVEL);
            let mut encoder = GzEncoder::new(BlockWriter::default(), level);
            feed(&mut encoder, &body).await?;
            Ok(encoder.finish()?.into_rope())
        }
        Compression::Zstd => {
            let level = i32::try_from(LEVEL).unwrap_or(1);
            let mut encoder = zstd::Encoder::new(BlockWriter::default(), level)?;
            feed(&mut encoder, &body).await?;
            Ok(encoder.finish()?.into_rope())
        }
    }
}

async fn feed(encoder: &mut impl Write, body: &Rope) -> io::Result<()> {
    let mut fed = 0;
    for slice in body.pieces().flat_map(|piece| piece.chunks(SLICE_BYTES)) {
        encoder.write_all(slice)?;
        fed += slice.len();
        if fed >= SLICE_BYTES {
            fed = 0;
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

impl BlockWriter {
    fn into_rope(mut self) -> Rope {
        self.full.push(self.open.freeze());
        self.full
    }
}

impl Write for BlockWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.capacity() == 0 {
            self.open = BytesMut::with_capacity(BLOCK_BYTES);
        }
        let free = self.open.capacity() - self.open.len();
        let (fitting, _) = bytes.split_at(free.min(bytes.len()));
        self.open.put_slice(fitting);
        if self.open.len() == self.open.capacity() {
            let block: Bytes = std::mem::take(&mut self.open).freeze();
            self.full.push(block);
        }
        Ok(fitting.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use bytes::Buf;

    use super::*;

    /// Bytes that do not compress, so that the output fills several blocks.
    fn noise(length: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        std::iter::repeat_with(|| random.u8(..)).take(length).collect()
    }

    fn rope(bytes: &[u8], piece: usize) -> Rope {
        Rope::from(bytes.chunks(piece).map(Bytes::copy_from_slice).collect::<Vec<_>>())
    }

    async fn roundtrip(bytes: &[u8], piece: usize, how: Compression) -> Vec<u8> {
        let packed = compress(rope(bytes, piece), how).await.unwrap();
        let mut unpacked = Vec::new();
        match how {
            Compression::None => packed.reader().read_to_end(&mut unpacked),
            Compression::Gzip => {
                flate2::read::GzDecoder::new(packed.reader()).read_to_end(&mut unpacked)
            }
            Compression::Zstd => {
                zstd::Decoder::new(packed.reader()).unwrap().read_to_end(&mut unpacked)
            }
        }
        .unwrap();
        unpacked
    }

    #[tokio::test]
    async fn compressed_bytes_decompress_to_the_same_bytes() {
        for how in [Compression::None, Compression::Gzip, Compression::Zstd] {
            for length in [0, 1, 1_000, 3 * BLOCK_BYTES, 300_001] {
                let bytes = noise(length);
                assert_eq!(roundtrip(&bytes, 100_000, how).await, bytes, "{how:?} {length}");
            }
        }
    }

    #[tokio::test]
    async fn many_small_pieces_become_one_stream() {
        let bytes = b"otlp".repeat(5_000);

        assert_eq!(roundtrip(&bytes, 7, Compression::Gzip).await, bytes);
        assert_eq!(roundtrip(&bytes, 7, Compression::Zstd).await, bytes);
    }

    #[tokio::test]
    async fn repetitive_bytes_shrink() {
        let bytes = vec![b'a'; 1 << 20];

        for how in [Compression::Gzip, Compression::Zstd] {
            let packed = compress(rope(&bytes, 1 << 20), how).await.unwrap();
            assert!(packed.remaining() < bytes.len() / 50, "{how:?}: {}", packed.remaining());
        }
    }

    #[tokio::test]
    async fn other_tasks_run_while_a_large_body_is_compressed() {
        let bytes = noise(SLICE_BYTES * 4);
        let mut packing = std::pin::pin!(compress(rope(&bytes, bytes.len()), Compression::Gzip));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());

        let yielded = (0..4).filter(|_| packing.as_mut().poll(&mut context).is_pending()).count();

        assert_eq!(yielded, 4);
        assert!(packing.poll(&mut context).is_ready());
    }
}
