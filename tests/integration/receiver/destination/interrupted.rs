//! Requests that end without an answer: whether the request may be the cause.

use std::time::Duration;

use h2::Reason;
use http::Response;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tracebuffer::adapters::messaging::destination::AnyDestination;
use tracebuffer::adapters::messaging::destination::config::Protocol;
use tracebuffer::domain::delivery::FailureKind;
use tracebuffer::ports::destination::Destination;

use super::kind_and_code;
use crate::support::scripted_destination::ScriptedDestination;
use crate::support::spans::{batch, large_batch};

/// A destination at a listener of the test.
async fn destination_at(listener: &TcpListener) -> AnyDestination {
    let mut settings = ScriptedDestination::start(Protocol::Grpc).await.settings();
    "127.0.0.1".clone_into(&mut settings.endpoint.host);
    settings.endpoint.port = listener.local_addr().unwrap().port();
    AnyDestination::from_settings(Some(&settings))
}

/// Accepts one request, waits for a part of its body, and resets its stream for `reason`.
async fn reset_stream(stream: TcpStream, reason: Reason) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (request, mut response) = connection.accept().await.unwrap().unwrap();
    let mut body = request.into_body();
    tokio::select! {
        _ = connection.accept() => panic!("there is one request"),
        data = body.data() => assert!(data.is_some_and(|data| data.is_ok())),
    }
    response.send_reset(reason);
    let _ = timeout(Duration::from_secs(1), connection.accept()).await;
}

#[tokio::test]
async fn a_stream_reset_during_the_request_is_inconclusive_unless_the_peer_did_not_process_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = destination_at(&listener).await;
    let reasons = [
        (Reason::INTERNAL_ERROR, FailureKind::Inconclusive),
        (Reason::CANCEL, FailureKind::Inconclusive),
        (Reason::PROTOCOL_ERROR, FailureKind::Inconclusive),
        (Reason::ENHANCE_YOUR_CALM, FailureKind::Inconclusive),
        (Reason::NO_ERROR, FailureKind::Inconclusive),
        (Reason::REFUSED_STREAM, FailureKind::Unavailable),
    ];
    for (reason, expected) in reasons {
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            reset_stream(stream, reason).await;
        };

        let (outcome, ()) = tokio::join!(destination.send(large_batch(10, 100_000)), server);

        assert_eq!(kind_and_code(outcome).0, expected, "{reason:?}");
    }
}

#[tokio::test]
async fn a_connection_given_up_during_the_request_is_inconclusive() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = destination_at(&listener).await;
    for reason in [Reason::INTERNAL_ERROR, Reason::ENHANCE_YOUR_CALM] {
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let _request = connection.accept().await.unwrap().unwrap();
            connection.abrupt_shutdown(reason);
            let _ = timeout(Duration::from_secs(1), connection.accept()).await;
        };

        let (outcome, ()) = tokio::join!(destination.send(large_batch(10, 100_000)), server);

        assert_eq!(kind_and_code(outcome), (FailureKind::Inconclusive, "RESET"), "{reason:?}");
    }
}

#[tokio::test]
async fn a_request_whose_body_was_not_begun_is_not_suspected() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = destination_at(&listener).await;
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut builder = h2::server::Builder::new();
        // Once the client knows this, it may send no byte of a body.
        builder.initial_window_size(0);
        let mut connection = builder.handshake::<_, bytes::Bytes>(stream).await.unwrap();
        let (_first, mut response) = connection.accept().await.unwrap().unwrap();
        let answer = Response::builder().header("grpc-status", "0").body(()).unwrap();
        response.send_response(answer, true).unwrap();
        let (_second, mut response) = connection.accept().await.unwrap().unwrap();
        response.send_reset(Reason::INTERNAL_ERROR);
        let _ = timeout(Duration::from_secs(1), connection.accept()).await;
    };
    let requests = async {
        destination.send(batch(&["a"])).await.unwrap();
        destination.send(batch(&["b"])).await
    };

    let (outcome, ()) = tokio::join!(requests, server);

    assert_eq!(kind_and_code(outcome), (FailureKind::Unavailable, "RESET"));
}
