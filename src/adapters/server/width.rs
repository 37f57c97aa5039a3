//! How much one connection may send at a time.

/// The largest flow-control window of a stream, and so the memory that a request has before its reader
/// asks for more. Also the default of the protocol, so clients that do not wait for our settings are
/// within it.
pub const STREAM_WINDOW: u32 = 64 << 10;

/// What one connection may use.
#[derive(Debug)]
pub(super) struct Width {
    /// Concurrent streams. A peer that has seen this limit queues further requests itself; before that
    /// they are refused, and lost if the client does not retry.
    pub(super) streams: u32,
    /// Flow-control window of a stream.
    pub(super) window: u32,
    /// Bytes that are read before the streams are, and so frames that wait: each takes 250 bytes.
    pub(super) portion: u64,
    /// Limits unread DATA frames below 256 bytes, which count with what they lack. Twice what all
    /// streams need that have the five bytes of a gRPC prefix in a frame of their own.
    pub(super) small_frames_budget: usize,
}

impl Width {
    /// At least the requests that exporters send at once: 30 in JavaScript, fewer elsewhere. A portion is two
    /// frames of a large request.
    pub(super) const WIDE: Self = Self::new(32, STREAM_WINDOW, 34 << 10);
    /// For all but a few connections. The window is one frame.
    pub(super) const NARROW: Self = Self::new(8, 16 << 10, 8 << 10);

    const fn new(streams: u32, window: u32, portion: u64) -> Self {
        Self { streams, window, portion, small_frames_budget: 512 * streams as usize }
    }
}
