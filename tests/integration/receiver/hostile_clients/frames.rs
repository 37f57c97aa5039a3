//! Attacks with raw HTTP/2 frames.

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
async fn two_thousand_streams_opened_and_reset_do_no_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let mut input = opening();
    for stream in (1..4001).step_by(2) {
        input.extend(frame(HEADERS, END_HEADERS, stream, REQUEST));
        input.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }

    let attackers = send_from_all(&receiver, &input, 4).await;
    receiver.assert_serves_others().await;
    for attacker in attackers {
        attacker.await.expect("it does not panic");
    }

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn headers_that_continue_without_end_do_no_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let mut input = opening();
    // A literal header of 1,000 bytes, never indexed.
    let header = [&b"\x10\x01x\x7f\xe9\x06"[..], &[b'y'; 1000]].concat();
    input.extend(frame(HEADERS, 0, 1, REQUEST));
    for _ in 0..10_000 {
        input.extend(frame(CONTINUATION, 0, 1, &header));
    }

    let response = send_and_read_to_end(receiver.connect().await, &input).await;

    assert!(response.len() < 10_000);
    receiver.assert_recovers().await;
}

#[tokio::test]
async fn empty_continuations_without_end_do_no_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let mut input = opening();
    input.extend(frame(HEADERS, 0, 1, REQUEST));
    input.extend(frame(CONTINUATION, 0, 1, &[]).repeat(100_000));

    send_and_read_to_end(receiver.connect().await, &input).await;

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn a_small_compressed_head_that_expands_hugely_does_no_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let mut input = opening();
    // A header of 4,000 bytes, stored in the table and referenced 10,000 times with one byte each.
    let header = [&b"\x40\x01x\x7f\xa1\x1e"[..], &[b'y'; 4000]].concat();
    for stream in (1..41).step_by(2) {
        let head = [REQUEST, &header, &[0xbe; 10_000]].concat();
        input.extend(frame(HEADERS, END_HEADERS, stream, &head));
    }

    send_and_read_to_end(receiver.connect().await, &input).await;

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn floods_of_frames_that_must_be_answered_do_no_harm() {
    let receiver = ReceiverUnderTest::start().await;
    for flood in [
        frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(PING, 0, 0, &[7; 8]),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
    ] {
        let input = [opening(), flood.repeat(50_000)].concat();
        send_and_read_to_end(receiver.connect().await, &input).await;
        receiver.assert_serves_others().await;
    }

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn random_frames_do_no_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let mut random = fastrand::Rng::with_seed(7);

    for _ in 0..200 {
        let mut input = opening();
        for _ in 0..20 {
            let payload: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            input.extend(frame(random.u8(..12), random.u8(..), random.u32(..4), &payload));
        }
        send_and_read_to_end(receiver.connect().await, &input).await;
    }

    receiver.assert_recovers().await;
}

/// Starts `clients` clients that each send `input`.
async fn send_from_all(
    receiver: &ReceiverUnderTest,
    input: &[u8],
    clients: usize,
) -> Vec<tokio::task::JoinHandle<Vec<u8>>> {
    let mut attackers = Vec::new();
    for _ in 0..clients {
        let (stream, input) = (receiver.connect().await, input.to_vec());
        attackers.push(tokio::spawn(async move { send_and_read_to_end(stream, &input).await }));
    }
    attackers
}
