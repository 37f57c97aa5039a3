use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::*;
use crate::adapters::messaging::testing::{BodyEvent, ScriptedBody};
use crate::domain::response_status::ResponseStatus;

mod framing;

const KI: usize = 1 << 10;
const LIMIT: usize = 256 * KI;
const PLAIN: ReadOptions = ReadOptions { encoding: Encoding::Identity, copies: 1 };

fn reader() -> BodyReader {
    BodyReader::new(LIMIT)
}

/// Reads a body of unknown length.
async fn read(reader: &BodyReader, body: ScriptedBody) -> Result<RequestMessage, RequestError> {
    reader.read_http(body, None, PLAIN).await
}

/// Reads `body` for `time`, then returns how much of the shared memory is in use.
async fn taken_after(
    time: Duration,
    body: ScriptedBody,
    length: Option<u64>,
    options: ReadOptions,
) -> usize {
    let reader = BodyReader::new(LIMIT);
    let reading = reader.read_http(body, length, options);
    tokio::pin!(reading);
    assert!(tokio::time::timeout(time, reading.as_mut()).await.is_err(), "the request has ended");
    reader.budget.shared_bytes_taken()
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| index.to_le_bytes()[0]).collect()
}

fn stalled(begin: usize) -> ScriptedBody {
    ScriptedBody::pieces([bytes(begin)]).then(BodyEvent::Stall)
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

#[tokio::test]
async fn a_body_in_pieces_is_joined_with_or_without_a_declared_length() {
    for length in [None, Some(6)] {
        let body = ScriptedBody::pieces(["ab", "", "cd", "ef"]).then(BodyEvent::Trailers);

        let message = reader().read_http(body, length, PLAIN).await.unwrap();

        assert_eq!(message.bytes, "abcdef");
    }
}

#[tokio::test]
async fn an_empty_body_is_an_empty_message() {
    for length in [None, Some(0)] {
        let message = reader().read_http(ScriptedBody::new([]), length, PLAIN).await.unwrap();

        assert_eq!(message.bytes, "");
    }
}

#[tokio::test]
async fn a_small_body_in_one_piece_takes_no_extra_memory() {
    let (piece, freed) = tracked(100);
    let reader = reader();

    let message = reader
        .read_http(ScriptedBody::new([BodyEvent::Data(piece)]), Some(100), PLAIN)
        .await
        .unwrap();

    assert!(!freed.load(Ordering::Relaxed));
    assert_eq!(reader.budget.shared_bytes_taken(), 0);
    assert_eq!(message.bytes, bytes(100));
}

#[tokio::test(start_paused = true)]
async fn memory_for_a_declared_length_is_reserved_at_once() {
    let taken = taken_after(Duration::from_secs(1), stalled(1), Some(100 * KI as u64), PLAIN).await;

    assert_eq!(taken, 100 * KI);
}

#[tokio::test(start_paused = true)]
async fn memory_for_an_unknown_length_is_reserved_in_steps() {
    let second = Duration::from_secs(1);
    let growing =
        |pieces: usize| ScriptedBody::pieces(vec![bytes(10 * KI); pieces]).then(BodyEvent::Stall);

    assert_eq!(taken_after(second, growing(1), None, PLAIN).await, 10 * KI);
    assert_eq!(taken_after(second, growing(2), None, PLAIN).await, 64 * KI);
    assert_eq!(taken_after(second, growing(6), None, PLAIN).await, 64 * KI);
    assert_eq!(taken_after(second, growing(7), None, PLAIN).await, 96 * KI);
    assert_eq!(taken_after(second, growing(10), None, PLAIN).await, 144 * KI);
}

#[tokio::test(start_paused = true)]
async fn memory_is_reserved_for_every_copy_of_the_message() {
    let second = Duration::from_secs(1);
    let options = |encoding, copies| ReadOptions { encoding, copies };
    let announced = Some(20 * KI as u64);

    let converted = options(Encoding::Identity, 2);
    assert_eq!(taken_after(second, stalled(1), announced, converted).await, 40 * KI);
}

#[tokio::test(start_paused = true)]
async fn memory_for_a_compressed_body_is_reserved_for_its_usual_size() {
    use crate::adapters::messaging::testing::{gzip, zstd};
    let second = Duration::from_secs(1);
    let begun = |body: Vec<u8>| ScriptedBody::pieces([&body[..8]]).then(BodyEvent::Stall);
    let options = |encoding| ReadOptions { encoding, copies: 64 };

    // 64 copies of 64 bytes, one more for zstd's window, and the decompressor's own memory.
    let taken = taken_after(second, begun(gzip(b"text")), None, options(Encoding::Gzip)).await;
    assert_eq!(taken, (4 + 48) * KI);
    let taken = taken_after(second, begun(zstd(b"text")), None, options(Encoding::Zstd)).await;
    assert_eq!(taken, (5 + 128) * KI);
}

#[tokio::test]
async fn memory_is_released_only_with_the_message() {
    let reader = reader();
    let message = read(&reader, ScriptedBody::pieces(["a", "b"])).await.unwrap();
    assert_eq!(reader.budget.shared_bytes_taken(), 64 * KI);

    drop(message);

    assert_eq!(reader.budget.shared_bytes_taken(), 0);
}

#[tokio::test]
async fn memory_is_released_when_the_client_disconnects_in_the_middle() {
    let reader = reader();

    let error =
        read(&reader, ScriptedBody::pieces(["a", "b"]).then(BodyEvent::Fail("reset"))).await;

    let error = error.unwrap_err();
    assert_eq!(error.status, ResponseStatus::Malformed);
    assert_eq!(error.message, "the request's body could not be read: reset");
    assert_eq!(reader.budget.shared_bytes_taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_while_others_use_the_memory() {
    let reader = BodyReader::new(4 << 20);
    let large = ScriptedBody::pieces(["a"]).then(BodyEvent::Wait(Duration::from_secs(2)));
    let length = Some(300 * KI as u64);
    let started = Instant::now();

    let second = reader.read_http(ScriptedBody::pieces(["a", "b"]), length, PLAIN);
    let ((), second) =
        tokio::join!(async { drop(reader.read_http(large, length, PLAIN).await) }, async {
            (second.await, started.elapsed())
        },);

    assert_eq!(second.0.unwrap().bytes, "ab");
    assert_eq!(second.1, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waited_3_s_for_memory_is_refused_as_retryable() {
    let reader = BodyReader::new(4 << 20);
    let length = Some(300 * KI as u64);
    let started = Instant::now();

    let first = reader.read_http(dripping(20), length, PLAIN);
    let second = reader.read_http(stalled(1), length, PLAIN);
    tokio::pin!(first);
    let second = tokio::select! {
        biased;
        _ = first.as_mut() => panic!("the first request has its memory"),
        second = second => second,
    };

    assert_eq!(second.unwrap_err().status, ResponseStatus::Unavailable);
    assert_eq!(started.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_large_request_is_read_while_small_ones_hold_all_shared_memory() {
    let reader = BodyReader::new(4 << 20);
    let quarter = Some(256 * KI as u64);
    let small: [_; 4] = std::array::from_fn(|_| reader.read_http(stalled(1), quarter, PLAIN));
    let [a, b, c, d] = small;
    let large = bytes(300 * KI);
    let (first, rest) = large.split_at(7);

    let large = tokio::select! {
        biased;
        _ = async { tokio::join!(a, b, c, d) } => panic!("the small requests stall"),
        large = async {
            assert_eq!(reader.budget.shared_bytes_taken(), 1 << 20);
            let body = ScriptedBody::pieces([first, rest]);
            reader.read_http(body, Some(300 * KI as u64), PLAIN).await
        } => large.unwrap(),
    };

    assert!(reader.budget.large_is_taken());
    assert_eq!(large.bytes.len(), 300 * KI);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_complete_after_10_s_is_refused() {
    for body in [ScriptedBody::new([BodyEvent::Stall]), dripping(20)] {
        let started = Instant::now();

        let error = read(&reader(), body).await.unwrap_err();

        assert_eq!(error.status, ResponseStatus::TimedOut);
        assert_eq!(error.message, "the request was not complete after 10 s");
        assert_eq!(started.elapsed(), Duration::from_secs(10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stalls_in_the_middle_is_refused_after_5_s() {
    let started = Instant::now();

    let error = read(&reader(), stalled(1)).await.unwrap_err();

    assert_eq!(error.status, ResponseStatus::TimedOut);
    assert_eq!(error.message, "no data of the request arrived for 5 s");
    assert_eq!(started.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_slow_request_that_is_complete_in_time_is_accepted() {
    assert_eq!(read(&reader(), dripping(9)).await.unwrap().bytes, "a".repeat(9));
}

/// A body of `bytes` bytes, one per second.
fn dripping(bytes: usize) -> ScriptedBody {
    let drip =
        || [BodyEvent::Data(Bytes::from_static(b"a")), BodyEvent::Wait(Duration::from_secs(1))];
    ScriptedBody::new(std::iter::repeat_with(drip).take(bytes).flatten().collect::<Vec<_>>())
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() {
    for pieces in [1, 2, 7] {
        let body = |length: usize| {
            let data = bytes(length);
            ScriptedBody::pieces(data.chunks(length.div_ceil(pieces)))
        };

        let taken = read(&reader(), body(LIMIT)).await.unwrap();
        let error = read(&reader(), body(LIMIT + 1)).await.unwrap_err();

        assert_eq!(taken.bytes, bytes(LIMIT), "in {pieces} pieces");
        assert_eq!(error.status, ResponseStatus::TooLarge, "in {pieces} pieces");
        assert!(error.message.contains("TRACEBUFFER_MAX_REQUEST_BYTES"), "{error:?}");
    }
}

#[tokio::test]
async fn a_declared_length_beyond_the_limit_is_refused_before_anything_is_read() {
    let body = ScriptedBody::new([BodyEvent::PanicIfPolled]);

    let error = reader().read_http(body, Some(LIMIT as u64 + 1), PLAIN).await.unwrap_err();

    assert_eq!(error.status, ResponseStatus::TooLarge);
}

#[tokio::test]
async fn a_length_beyond_the_address_space_is_too_large() {
    let body = ScriptedBody::new([BodyEvent::PanicIfPolled]);

    let error = reader().read_http(body, Some(u64::MAX), PLAIN).await.unwrap_err();

    assert_eq!(error.status, ResponseStatus::TooLarge);
}
