//! Connections that send nothing, garbage, too much, or a byte at a time.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use crate::support::client::{ALL_PROTOCOLS, ResponseKind, receiver_endpoints};
use crate::support::receiver::Metrics;
use crate::support::receiver_under_test::{
    CONNECTIONS_METRIC, ReceiverUnderTest, send_and_read_to_end,
};
use crate::support::samples::spans;

/// The most connections that are served at once on a port.
const MAX_CONNECTIONS: usize = 64;

#[tokio::test]
async fn random_bytes_do_no_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let mut random = fastrand::Rng::with_seed(11);

    for _ in 0..200 {
        let input: Vec<u8> = (0..random.usize(1..4096)).map(|_| random.u8(..)).collect();
        send_and_read_to_end(receiver.connect().await, &input).await;
    }

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn connections_that_send_nothing_or_half_a_head_do_not_delay_others() {
    let receiver = ReceiverUnderTest::start().await;
    let mut held = Vec::new();
    for head in ["", "P", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM", "POST /v1/tra"] {
        for _ in 0..20 {
            let mut stream = receiver.connect().await;
            stream.write_all(head.as_bytes()).await.expect("it listens");
            held.push(stream);
        }
    }
    let all = |metrics: &Metrics| metrics.sum::<usize>(CONNECTIONS_METRIC, &[]) >= MAX_CONNECTIONS;
    receiver.receiver.wait_for_metrics(all).await;

    receiver.assert_serves_others().await;
    drop(held);

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn a_thousand_connections_at_once_leak_nothing() {
    allow_many_files();
    let receiver = ReceiverUnderTest::start().await;
    let mut held = Vec::new();
    for _ in 0..1000 {
        held.push(receiver.connect().await);
    }
    let full = |metrics: &Metrics| metrics.sum::<usize>(CONNECTIONS_METRIC, &[]) >= MAX_CONNECTIONS;
    let metrics = receiver.receiver.wait_for_metrics(full).await;
    assert!(
        metrics.sum::<usize>(CONNECTIONS_METRIC, &[]) <= MAX_CONNECTIONS,
        "no more are served at once"
    );

    drop(held);

    let none = |metrics: &Metrics| metrics.sum::<usize>(CONNECTIONS_METRIC, &[]) == 0;
    receiver.receiver.wait_for_metrics(none).await;
    receiver.assert_recovers().await;
}

#[tokio::test]
async fn a_thousand_requests_on_as_many_connections_are_all_answered() {
    allow_many_files();
    let receiver = ReceiverUnderTest::start().await;
    let mut clients = tokio::task::JoinSet::new();
    for endpoint in
        receiver_endpoints(&receiver.receiver, ALL_PROTOCOLS).into_iter().cycle().take(1000)
    {
        clients.spawn(endpoint.export_until_answered(spans(&["one of many"])));
    }

    for answer in clients.join_all().await {
        assert_eq!(answer.kind(), ResponseKind::Accepted, "{answer:?}");
    }

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn clients_that_send_a_byte_at_a_time_do_not_delay_others() {
    let receiver = ReceiverUnderTest::start().await;
    let head =
        b"POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nbody that never ends";
    let mut slow = tokio::task::JoinSet::new();
    for start in [0, head.len() - 20] {
        for _ in 0..20 {
            let mut stream = receiver.connect().await;
            slow.spawn(async move {
                stream.write_all(&head[..start]).await.expect("it listens");
                for byte in &head[start..start + 15] {
                    stream.write_all(&[*byte]).await.expect("it waits");
                    sleep(Duration::from_millis(100)).await;
                }
            });
        }
    }

    while !slow.is_empty() {
        receiver.assert_serves_others().await;
        let _ = timeout(Duration::from_millis(100), slow.join_next()).await;
    }

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn a_head_of_many_mebibytes_is_refused_without_harm() {
    let receiver = ReceiverUnderTest::start().await;
    let endless_line = [&b"POST /"[..], &vec![b'a'; 4 << 20]].concat();
    let long_header = [&b"POST / HTTP/1.1\r\nx: "[..], &vec![b'a'; 4 << 20]].concat();
    let many_headers =
        [&b"POST / HTTP/1.1\r\n"[..], &b"x: aaaaaaaaaaaaaaaaaaaa\r\n".repeat(100_000)].concat();

    for input in [endless_line, long_header, many_headers] {
        let response = send_and_read_to_end(receiver.connect().await, &input).await;
        let response = String::from_utf8_lossy(&response);
        // The response may be lost when the rest of the request reaches a closed connection.
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{response}");
    }

    receiver.assert_recovers().await;
}

/// Raises the limit of open files of this process, which holds the client ends of the connections.
fn allow_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("it may be raised");
}
