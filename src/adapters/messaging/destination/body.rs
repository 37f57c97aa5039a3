//! Request bodies that are sent without copying.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

/// Pieces of bytes that read as one buffer.
///
/// Because hyper sees a single buffer, it fills whole HTTP/2 frames from it and passes the pieces
/// to the kernel in vectored writes, however many there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Rope {
    /// Bytes before all pieces; separate, because inserting into `pieces` could reallocate it.
    prefix: Bytes,
    /// None of them is empty.
    pieces: VecDeque<Bytes>,
    remaining: usize,
    /// Set as soon as a byte is read.
    begun: Arc<AtomicBool>,
}

/// A request body of one [`Rope`], whose length is known in advance.
#[derive(Debug)]
pub(super) struct RopeBody(Option<Rope>);

impl Rope {
    /// Puts `prefix` before all pieces. To be called at most once.
    pub(super) fn with_prefix(self, prefix: Bytes) -> Self {
        Self { remaining: self.remaining + prefix.len(), prefix, ..self }
    }

    /// Returns a flag that tells whether a byte was read of this rope or of a clone: whether hyper
    /// has begun to send it.
    pub(super) fn begun(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.begun)
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.remaining += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.prefix).filter(|prefix| !prefix.is_empty()).chain(&self.pieces)
    }
}

impl From<Vec<Bytes>> for Rope {
    fn from(mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        let remaining = pieces.iter().map(Bytes::len).sum();
        Self { pieces: pieces.into(), remaining, ..Self::default() }
    }
}

impl Buf for Rope {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces().next().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let filled = dst.iter_mut().zip(self.pieces()).map(|(slot, piece)| {
            *slot = IoSlice::new(piece);
        });
        filled.count()
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "cannot advance past the end");
        self.remaining -= count;
        self.begun.fetch_or(count > 0, Ordering::Relaxed);
        let of_prefix = count.min(self.prefix.len());
        self.prefix.advance(of_prefix);
        count -= of_prefix;
        while let Some(front) = self.pieces.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.pieces.pop_front();
        }
    }
}

impl From<Rope> for RopeBody {
    fn from(rope: Rope) -> Self {
        Self((rope.remaining > 0).then_some(rope))
    }
}

impl Body for RopeBody {
    type Data = Rope;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Rope>, Infallible>>> {
        Poll::Ready(self.0.take().map(|rope| Ok(Frame::data(rope))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |rope| rope.remaining as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(pieces: &[&'static str]) -> Rope {
        Rope::from(
            pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_rope_reads_as_its_pieces_one_after_another() {
        let mut rope = rope(&["ab", "", "cde"]).with_prefix(Bytes::from_static(b"> "));
        rope.push(Bytes::new());
        rope.push(Bytes::from_static(b"f"));

        assert_eq!(rope.remaining(), 8);
        assert_eq!(rope.chunk(), b"> ");
        assert_eq!(rope.copy_to_bytes(3), "> a");
        assert_eq!(rope.chunk(), b"b");
        assert_eq!(rope.copy_to_bytes(5), "bcdef");
    }

    #[test]
    fn advancing_within_a_piece_and_across_pieces_keeps_the_rest() {
        let mut rope = rope(&["abc", "de", "f"]);

        rope.advance(1);
        assert_eq!((rope.chunk(), rope.remaining()), (&b"bc"[..], 5));
        rope.advance(4);
        assert_eq!((rope.chunk(), rope.remaining()), (&b"f"[..], 1));
        rope.advance(1);
        assert_eq!((rope.chunk(), rope.remaining()), (&b""[..], 0));
    }

    #[test]
    fn a_vectored_write_sees_all_pieces_that_fit() {
        let rope = rope(&["de", "f"]).with_prefix(Bytes::from_static(b"abc"));
        let mut slices = [IoSlice::new(&[]); 2];

        assert_eq!(rope.chunks_vectored(&mut slices), 2);
        assert_eq!((&*slices[0], &*slices[1]), (&b"abc"[..], &b"de"[..]));
    }

    #[test]
    fn a_rope_tells_when_it_or_its_clone_is_read() {
        let whole = rope(&["abc", "de"]);
        let begun = whole.begun();
        let mut sent = whole.clone().with_prefix(Bytes::from_static(b"12"));

        sent.advance(0);
        assert!(!begun.load(Ordering::Relaxed));
        sent.advance(1);
        assert!(begun.load(Ordering::Relaxed));
    }

    #[test]
    #[should_panic(expected = "cannot advance past the end")]
    fn advancing_past_the_end_panics() {
        rope(&["abc"]).advance(4);
    }

    #[test]
    fn a_body_knows_its_length_and_ends_after_its_only_frame() {
        let mut body = RopeBody::from(rope(&["abc", "de"]));
        let mut context = Context::from_waker(std::task::Waker::noop());

        assert_eq!(body.size_hint().exact(), Some(5));
        let frame = Pin::new(&mut body).poll_frame(&mut context);
        assert!(matches!(frame, Poll::Ready(Some(Ok(frame))) if frame.is_data()));
        assert!(body.is_end_stream());
    }

    #[test]
    fn an_empty_body_has_no_frames() {
        let body = RopeBody::from(Rope::default());

        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
    }
}
