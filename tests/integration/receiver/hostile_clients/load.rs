//! Clients that use more than their share.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tracebuffer::adapters::messaging::destination::config::Protocol as Destination;

use crate::support::client::{Protocol, ReceiverEndpoint, ResponseKind, receiver_endpoints};
use crate::support::receiver_under_test::ReceiverUnderTest;
use crate::support::samples::{request, sized, span, spans};
use crate::support::scripted_destination::{ScriptedDestination, ScriptedResponse};

/// The longest that a client may wait for a response.
const LONGEST: Duration = Duration::from_secs(3);

#[tokio::test]
async fn large_requests_of_one_client_delay_neither_each_other_nor_another_client() {
    let receiver = ReceiverUnderTest::start().await;
    let address = format!("http://{}", receiver.receiver.grpc());
    let greedy = TraceServiceClient::connect(address).await.expect("it listens");
    // Too large for the memory share of small requests, so they are read one at a time.
    let large = request(vec![Span { trace_state: "x".repeat(300 << 10), ..span("large") }]);

    let mut streams = JoinSet::new();
    for _ in 0..30 {
        let (mut client, request) = (greedy.clone(), large.clone());
        streams.spawn(async move {
            let started = Instant::now();
            let answer = client.export(request).await;
            (answer, started.elapsed())
        });
    }
    for endpoint in receiver_endpoints(&receiver.receiver, &[Protocol::Grpc, Protocol::Http1]) {
        let mut connection = endpoint.connect().await;
        for _ in 0..20 {
            let started = Instant::now();
            let answer = connection.send(endpoint.request(spans(&["small"]))).await;
            assert_eq!(answer.kind(), ResponseKind::Accepted, "{answer:?}");
            assert!(started.elapsed() < LONGEST, "{:?} over {endpoint:?}", started.elapsed());
        }
    }

    for (answer, took) in streams.join_all().await {
        answer.expect("a large request is accepted");
        assert!(took < LONGEST, "{took:?}");
    }
    drop(greedy);
    receiver.assert_recovers().await;
}

/// The start of a request that announces a body of `bytes`.
fn unfinished_request(bytes: usize) -> Vec<u8> {
    let head = "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n";
    format!("{head}content-length: {bytes}\r\n\r\n\n").into_bytes()
}

#[tokio::test]
async fn unfinished_requests_do_not_delay_small_requests() {
    let receiver = ReceiverUnderTest::start().await;
    let mut held = Vec::new();
    for bytes in [200 << 10, 4 << 20] {
        for _ in 0..30 {
            let mut stream = receiver.connect().await;
            stream.write_all(&unfinished_request(bytes)).await.expect("it listens");
            held.push(stream);
        }
    }

    receiver.assert_serves_others().await;
    drop(held);

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn clients_that_disconnect_in_the_middle_of_a_request_leak_nothing() {
    let receiver = ReceiverUnderTest::start().await;
    for bytes in [2, 1 << 10, 100 << 10, 1 << 20] {
        for _ in 0..50 {
            let mut stream = receiver.connect().await;
            stream.write_all(&unfinished_request(bytes)).await.expect("it listens");
            stream.set_zero_linger().expect("an open socket takes options");
        }
    }

    receiver.assert_recovers().await;
}

#[tokio::test]
async fn a_flood_while_the_destination_is_stuck_uses_no_more_memory_than_the_limit() {
    for stuck in
        [ScriptedResponse::NeverRespond, ScriptedResponse::NeverRead, ScriptedResponse::grpc(14)]
    {
        let destination = ScriptedDestination::start(Destination::Grpc).await;
        destination.set_default_response(stuck);
        let endpoint = format!("http://{}", destination.address());
        let settings = [("ENDPOINT", endpoint.as_str()), ("TIMEOUT", "500ms"), ("LINGER", "0s")];
        let receiver = ReceiverUnderTest::start_with(&settings).await;

        // Three times the limit, in requests of all sizes.
        let receiver_endpoint =
            ReceiverEndpoint { address: receiver.receiver.grpc(), protocol: Protocol::Grpc };
        let mut clients = JoinSet::new();
        for (size, requests) in [(1 << 10, 800), (10 << 10, 600), (60 << 10, 120), (1 << 20, 10)] {
            let message = sized(size);
            clients.spawn(async move {
                let mut connection = receiver_endpoint.connect().await;
                for _ in 0..requests {
                    let answer = connection.send(receiver_endpoint.request(message.clone())).await;
                    assert_eq!(answer.kind(), ResponseKind::Accepted, "{answer:?}");
                }
            });
        }
        clients.join_all().await;

        let metrics = receiver.receiver.metrics().await;
        assert_eq!(metrics.unaccounted_spans(), 0, "{metrics:#?}");
        let dropped: u64 =
            metrics.sum("tracebuffer_dropped_spans_total", &[("reason", "overflow")]);
        assert!(dropped > 0, "{metrics:#?}");
        receiver.assert_memory_bounded();
    }
}
