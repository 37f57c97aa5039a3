use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Frame;
use tokio::time::{Instant, timeout};

use super::*;
use crate::adapters::messaging::testing::{BodyEvent, ScriptedBody, gzip, peer, zstd};
use crate::domain::response_status::ResponseStatus;

mod framing;

const KI: usize = 1 << 10;
const LIMIT: usize = 4 << 20;
const PLAIN: ReadOptions = ReadOptions { encoding: Encoding::Identity, copies: 1 };

fn reader() -> BodyReader {
    BodyReader::new(LIMIT)
}

async fn read_as(
    reader: &BodyReader,
    body: ScriptedBody,
    length: Option<usize>,
    options: ReadOptions,
) -> Result<Bytes, RequestError> {
    let request = reader.open(peer(0))?;
    reader.read_http(&request, body, length.map(|length| length as u64), options).await
}

async fn read(
    reader: &BodyReader,
    body: ScriptedBody,
    length: Option<usize>,
) -> Result<Bytes, RequestError> {
    read_as(reader, body, length, PLAIN).await
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| index.to_le_bytes()[0]).collect()
}

/// A body that begins with so many bytes, in pieces of 16 KiB, and then neither continues nor ends.
fn stalled(begin: usize) -> ScriptedBody {
    ScriptedBody::pieces(bytes(begin).chunks(16 * KI)).then(BodyEvent::Stall)
}

/// A body of `seconds` pieces, one per second.
fn dripping(piece: usize, seconds: usize) -> ScriptedBody {
    let drip = || [BodyEvent::Data(bytes(piece).into()), BodyEvent::Wait(Duration::from_secs(1))];
    ScriptedBody::new(std::iter::repeat_with(drip).take(seconds).flatten().collect::<Vec<_>>())
}

/// Runs `first` until `second` is ready.
async fn beside<T>(first: impl Future, second: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        _ = first => panic!("the first request has ended"),
        second = second => second,
    }
}

/// A slice of a larger buffer, with a flag that is set when the buffer is freed.
struct Tracked(Vec<u8>, Arc<AtomicBool>);

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

fn tracked(piece: usize) -> (Bytes, Arc<AtomicBool>) {
    let freed = Arc::new(AtomicBool::new(false));
    (Bytes::from_owner(Tracked(bytes(16 * KI), Arc::clone(&freed))).slice(..piece), freed)
}

/// A body whose sender has a window of [`OWN_BYTES`] and sends as much as it may.
struct Windowed {
    window: usize,
    left: usize,
    sent: Arc<AtomicUsize>,
    /// Whether the sender ends when `left` is sent, or stalls.
    ends: bool,
    /// The length in the gRPC prefix that the body begins with.
    prefix: Option<u32>,
}

impl Windowed {
    fn new(length: usize, ends: bool) -> (Self, Arc<AtomicUsize>) {
        let sent = Arc::new(AtomicUsize::new(0));
        (
            Self { window: OWN_BYTES, left: length, sent: Arc::clone(&sent), ends, prefix: None },
            sent,
        )
    }
}

impl HoldBack for Windowed {
    fn release(&mut self, bytes: usize) {
        self.window += bytes;
        assert!(self.window <= OWN_BYTES, "more was released than was sent");
    }
}

impl Body for Windowed {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let prefix = self.prefix.take().map(|length| grpc::prefix(false, length));
        let piece = prefix.map_or(self.left.min(self.window).min(10_000), |prefix| prefix.len());
        self.left -= piece;
        self.window -= piece;
        self.sent.fetch_add(piece, Ordering::Relaxed);
        match piece {
            0 if self.left == 0 && self.ends => Poll::Ready(None),
            0 => Poll::Pending,
            _ => {
                let data = prefix.map_or_else(|| bytes(piece), |prefix| prefix.to_vec());
                Poll::Ready(Some(Ok(Frame::data(data.into()))))
            }
        }
    }
}

#[tokio::test]
async fn a_body_in_pieces_is_joined_with_or_without_a_declared_length() {
    for length in [None, Some(6)] {
        let body = ScriptedBody::pieces(["ab", "", "cd", "ef"]).then(BodyEvent::Trailers);

        let message = read(&reader(), body, length).await.unwrap();

        assert_eq!(message, "abcdef");
    }
}

#[tokio::test]
async fn an_empty_body_is_an_empty_message() {
    for length in [None, Some(0)] {
        assert_eq!(read(&reader(), ScriptedBody::new([]), length).await.unwrap(), "");
    }
}

#[tokio::test]
async fn a_small_body_in_one_piece_is_not_copied() {
    let (piece, freed) = tracked(100);

    let body = ScriptedBody::new([BodyEvent::Data(piece)]);
    let message = read(&reader(), body, Some(100)).await.unwrap();

    assert!(!freed.load(Ordering::Relaxed));
    assert_eq!(message, bytes(100));
}

#[tokio::test]
async fn pieces_of_a_body_do_not_keep_the_buffers_they_arrived_in() {
    let (piece, freed) = tracked(100);
    let body = ScriptedBody::new([BodyEvent::Data(piece), BodyEvent::Stall]);

    let reader = reader();
    let mut reading = pin!(read(&reader, body, Some(1_000)));
    assert!(timeout(Duration::ZERO, reading.as_mut()).await.is_err());

    assert!(freed.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_large_body_is_read_within_the_window_of_its_sender() {
    for length in [OWN_BYTES, OWN_BYTES + 1, 300 * KI, LIMIT] {
        for declared in [None, Some(length as u64)] {
            let (body, _) = Windowed::new(length, true);
            let reader = reader();
            let request = reader.open(peer(0)).unwrap();

            let message = reader.read_http(&request, body, declared, PLAIN).await.unwrap();

            assert_eq!(message.len(), length);
        }
    }
}

#[tokio::test]
async fn a_large_grpc_message_is_read_within_the_window_of_its_sender() {
    for length in [OWN_BYTES - 5, OWN_BYTES, 300 * KI, LIMIT] {
        let (mut body, _) = Windowed::new(length + 5, true);
        body.prefix = Some(u32::try_from(length).unwrap());
        let reader = reader();
        let request = reader.open(peer(0)).unwrap();

        let message = reader.read_grpc(&request, body, Encoding::Identity).await.unwrap();

        assert_eq!(message.len(), length);
    }
}

/// What a request announces is nothing that it holds.
#[tokio::test(start_paused = true)]
async fn memory_is_reserved_as_bytes_arrive() {
    let reader = reader();
    let announcers = async {
        let announcer = || read(&reader, stalled(50 * KI), Some(LIMIT));
        tokio::join!(announcer(), announcer(), announcer(), announcer(), announcer())
    };

    let large = beside(announcers, async {
        let (body, _) = Windowed::new(LIMIT, true);
        let request = reader.open(peer(1)).unwrap();
        reader.read_http(&request, body, None, PLAIN).await
    });

    assert_eq!(timeout(Duration::from_millis(10), large).await.unwrap().unwrap().len(), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_held_back_while_its_request_waits_for_memory() {
    let reader = reader();
    let holder = read(&reader, dripping(600 * KI, 60), Some(LIMIT));
    let others = async {
        let other = || read(&reader, dripping(300 * KI, 60), Some(LIMIT));
        tokio::join!(other(), other(), other(), other())
    };
    let (body, sent) = Windowed::new(LIMIT, true);

    let holders = Box::pin(async { tokio::join!(holder, others) });
    let waiting = beside(holders, async {
        let request = reader.open(peer(1)).unwrap();
        let reading = reader.read_http(&request, body, Some(LIMIT as u64), PLAIN);
        timeout(Duration::from_secs(1), reading).await
    });

    assert!(waiting.await.is_err());
    assert!(sent.load(Ordering::Relaxed) <= 512 * KI + OWN_BYTES, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waited_3_s_for_memory_is_refused_as_retryable() {
    let reader = reader();
    let holder = read(&reader, dripping(300 * KI, 12), None);

    let (error, waited) = beside(holder, async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        let started = Instant::now();
        let (body, _) = Windowed::new(LIMIT, true);
        let request = reader.open(peer(1)).unwrap();
        (reader.read_http(&request, body, None, PLAIN).await, started.elapsed())
    })
    .await;

    assert_eq!(error.unwrap_err().status, ResponseStatus::Unavailable);
    assert_eq!(waited, Duration::from_secs(3));
}

/// Small requests have memory of their own, whatever others hold.
#[tokio::test(start_paused = true)]
async fn a_small_request_never_waits_whatever_its_encoding() {
    let reader = reader();
    let holders = async {
        let holder = || read(&reader, dripping(500 * KI, 8), None);
        tokio::join!(holder(), holder(), holder(), holder(), holder(), holder())
    };

    let read_all = beside(holders, async {
        for message in [bytes(2 * KI), bytes(60 * KI)] {
            for (encoding, sent) in [
                (Encoding::Identity, message.clone()),
                (Encoding::Gzip, gzip(&message)),
                (Encoding::Zstd, zstd(&message)),
            ] {
                for copies in [1, 2] {
                    let body = ScriptedBody::pieces(sent.chunks(1_000));
                    let options = ReadOptions { encoding, copies };
                    assert_eq!(read_as(&reader, body, None, options).await.unwrap(), message);
                }
            }
        }
    });

    timeout(Duration::from_millis(10), read_all).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_sender_goes_when_another_has_waited_for_250_ms() {
    let reader = reader();
    let slow = read(&reader, stalled(600 * KI), None);
    let (body, _) = Windowed::new(LIMIT, true);
    let waiting = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let started = Instant::now();
        let request = reader.open(peer(1)).unwrap();
        (reader.read_http(&request, body, None, PLAIN).await, started.elapsed())
    };

    let (slow, (waiting, waited)) = tokio::join!(slow, waiting);

    let error = slow.unwrap_err();
    assert_eq!(error.status, ResponseStatus::Unavailable);
    assert!(error.message.contains("was sent at 0 KiB/s while others"), "{}", error.message);
    assert_eq!(waiting.unwrap().len(), LIMIT);
    assert_eq!(waited, Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn the_longer_others_wait_the_faster_a_sender_must_be() {
    for (kib_per_second, expected) in [(20, 300), (50, 350), (100, 400), (200, 450)] {
        let reader = reader();
        let piece = bytes(kib_per_second * KI / 4);
        let mut body = ScriptedBody::pieces(bytes(600 * KI).chunks(16 * KI));
        for _ in 0..20 {
            body = body.then(BodyEvent::Wait(Duration::from_millis(250)));
            body = body.then(BodyEvent::Data(piece.clone().into()));
        }
        let sender = read(&reader, body, None);
        let (body, _) = Windowed::new(LIMIT, true);
        let waiting = async {
            tokio::time::sleep(Duration::from_millis(3_100)).await;
            let started = Instant::now();
            let request = reader.open(peer(1)).unwrap();
            (reader.read_http(&request, body, None, PLAIN).await, started.elapsed())
        };

        let (sender, (waiting, waited)) = tokio::join!(sender, waiting);

        let message = sender.unwrap_err().message;
        assert!(message.contains("KiB/s while others waited"), "{message}");
        assert_eq!(waiting.unwrap().len(), LIMIT);
        assert_eq!(waited, Duration::from_millis(expected), "{kib_per_second} KiB/s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_sender_alone_is_never_cut_off() {
    let reader = reader();

    let message = read(&reader, dripping(KI, 600), None).await.unwrap();

    assert_eq!(message.len(), 600 * KI);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_sends_nothing_for_30_s_has_ended() {
    for begin in [0, 1] {
        let started = Instant::now();

        let error = read(&reader(), stalled(begin), None).await.unwrap_err();

        assert_eq!(error.status, ResponseStatus::TimedOut);
        assert_eq!(error.message, "no data of the request arrived for 30 s");
        assert_eq!(started.elapsed(), Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_request_that_disconnects_in_the_middle_is_an_error() {
    let body = ScriptedBody::pieces(["a", "b"]).then(BodyEvent::Fail("reset"));

    let error = read(&reader(), body, None).await.unwrap_err();

    assert_eq!(error.status, ResponseStatus::Malformed);
    assert_eq!(error.message, "the request's body could not be read: reset");
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() {
    for pieces in [1, 2, 7] {
        let body = |length: usize| {
            let data = bytes(length);
            ScriptedBody::pieces(data.chunks(length.div_ceil(pieces)))
        };

        let taken = read(&reader(), body(LIMIT), None).await.unwrap();
        let error = read(&reader(), body(LIMIT + 1), None).await.unwrap_err();

        assert_eq!(taken, bytes(LIMIT), "in {pieces} pieces");
        assert_eq!(error.status, ResponseStatus::TooLarge, "in {pieces} pieces");
        assert!(error.message.contains("TRACEBUFFER_MAX_REQUEST_BYTES"), "{error:?}");
    }
}

#[tokio::test]
async fn a_declared_length_beyond_the_limit_is_refused_before_anything_is_read() {
    for length in [LIMIT + 1, usize::MAX] {
        let body = ScriptedBody::new([BodyEvent::PanicIfPolled]);

        let error = read(&reader(), body, Some(length)).await.unwrap_err();

        assert_eq!(error.status, ResponseStatus::TooLarge);
    }
}

/// A record keeps its memory for as long as it is buffered.
#[tokio::test]
async fn a_message_does_not_keep_memory_that_it_does_not_need() {
    let message = bytes(200 * KI);
    for (encoding, sent) in [
        (Encoding::Identity, message.clone()),
        (Encoding::Gzip, [gzip(&message[..150 * KI]), gzip(&message[150 * KI..])].concat()),
        (Encoding::Zstd, zstd::stream::encode_all(&*message, 1).unwrap()),
    ] {
        let body = ScriptedBody::pieces(sent.chunks(10_000));

        let read = read_as(&reader(), body, None, ReadOptions { encoding, copies: 1 }).await;

        let capacity = Vec::from(read.unwrap()).capacity();
        assert!(capacity < message.len() * 17 / 16 + 1, "{encoding:?}: {capacity}");
    }
}
