//! HTTP/2 used as a weapon, frame by frame.

use crate::support::receiver_under_test::{ReceiverUnderTest, send_and_read_to_end};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;

/// `POST http://a/x`, as HPACK writes it: from the static table, and three literals.
const REQUEST: &[u8] = b"\x83\x86\x04\x02/x\x01\x01a";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is small").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

fn opening() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

#[tokio::test]
async fn two_thousand_streams_opened_and_reset_harm_nobody() {
    let receiver = ReceiverUnderTest::start().await;
    let mut words = opening();
    for stream in (1..4001).step_by(2) {
        words.extend(frame(HEADERS, END_HEADERS, stream, REQUEST));
        words.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }

    let attackers = all_say(&receiver, &words, 4).await;
    receiver.assert_serves_others().await;
    for attacker in attackers {
        attacker.await.expect("it does not panic");
    }

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn headers_that_continue_without_end_harm_nobody() {
    let receiver = ReceiverUnderTest::start().await;
    let mut words = opening();
    // A literal header of 1,000 bytes, never indexed.
    let header = [&b"\x10\x01x\x7f\xe9\x06"[..], &[b'y'; 1000]].concat();
    words.extend(frame(HEADERS, 0, 1, REQUEST));
    for _ in 0..10_000 {
        words.extend(frame(CONTINUATION, 0, 1, &header));
    }

    let heard = send_and_read_to_end(receiver.connect().await, &words).await;

    assert!(heard.len() < 10_000);
    receiver.assert_recovers().await;
}

#[tokio::test]
async fn empty_continuations_without_end_harm_nobody() {
    let receiver = ReceiverUnderTest::start().await;
    let mut words = opening();
    words.extend(frame(HEADERS, 0, 1, REQUEST));
    words.extend(frame(CONTINUATION, 0, 1, &[]).repeat(100_000));

    send_and_read_to_end(receiver.connect().await, &words).await;

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn a_small_compressed_head_that_becomes_huge_harms_nobody() {
    let receiver = ReceiverUnderTest::start().await;
    let mut words = opening();
    // A header of 4,000 bytes into the table, then a thousand times by its number, a byte each.
    let header = [&b"\x40\x01x\x7f\xa1\x1e"[..], &[b'y'; 4000]].concat();
    for stream in (1..41).step_by(2) {
        let head = [REQUEST, &header, &[0xbe; 10_000]].concat();
        words.extend(frame(HEADERS, END_HEADERS, stream, &head));
    }

    send_and_read_to_end(receiver.connect().await, &words).await;

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn floods_of_frames_that_must_be_answered_harm_nobody() {
    let receiver = ReceiverUnderTest::start().await;
    for flood in [
        frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(PING, 0, 0, &[7; 8]),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
    ] {
        let words = [opening(), flood.repeat(50_000)].concat();
        send_and_read_to_end(receiver.connect().await, &words).await;
        receiver.assert_serves_others().await;
    }

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn frames_that_make_no_sense_harm_nobody() {
    let receiver = ReceiverUnderTest::start().await;
    let mut random = fastrand::Rng::with_seed(7);

    for _ in 0..200 {
        let mut words = opening();
        for _ in 0..20 {
            let payload: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            words.extend(frame(random.u8(..12), random.u8(..), random.u32(..4), &payload));
        }
        send_and_read_to_end(receiver.connect().await, &words).await;
    }

    receiver.assert_recovers().await;
}

/// So many clients that all say `words`.
async fn all_say(
    receiver: &ReceiverUnderTest,
    words: &[u8],
    clients: usize,
) -> Vec<tokio::task::JoinHandle<Vec<u8>>> {
    let mut attackers = Vec::new();
    for _ in 0..clients {
        let (stream, words) = (receiver.connect().await, words.to_vec());
        attackers.push(tokio::spawn(async move { send_and_read_to_end(stream, &words).await }));
    }
    attackers
}
