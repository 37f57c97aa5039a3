//! Connections that fail, break, or reach another kind of server.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::scripted_destination::ScriptedDestination;
use crate::support::spans::batch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tracebuffer::adapters::messaging::destination::AnyDestination;
use tracebuffer::adapters::messaging::destination::config::{DestinationSettings, Protocol};
use tracebuffer::domain::delivery::{Failure, FailureKind};
use tracebuffer::ports::destination::Destination;

const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];

/// Settings for this host and port, with a timeout of 500 ms.
async fn settings(protocol: Protocol, host: &str, port: u16) -> DestinationSettings {
    let mut settings = ScriptedDestination::start(protocol).await.settings();
    host.clone_into(&mut settings.endpoint.host);
    settings.endpoint.port = port;
    settings.timeout = Duration::from_millis(500);
    settings
}

async fn unavailable(settings: &DestinationSettings) -> Failure {
    let destination = AnyDestination::from_settings(Some(settings));
    let failure = destination.send(batch(&["a"])).await.unwrap_err();
    assert!(!failure.kind.is_permanent(), "{}", failure.message);
    failure
}

/// A port whose accept queue is full, so that further connection attempts get no response.
async fn full_port() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(50), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
    }
    (address, listener, waiting)
}

#[tokio::test]
async fn a_host_without_an_address_is_a_dns_failure() {
    let failure = unavailable(&settings(Protocol::Grpc, "nowhere.invalid", 4317).await).await;

    assert_eq!(failure.code, "DNS");
    assert!(failure.message.contains("nowhere.invalid:4317"), "{}", failure.message);
}

#[tokio::test]
async fn a_connection_attempt_without_a_response_makes_the_destination_unavailable() {
    let (address, _listener, _waiting) = full_port().await;

    let failure = unavailable(&settings(Protocol::Grpc, "127.0.0.1", address.port()).await).await;

    assert_eq!(failure.code, "CONNECT");
    assert!(failure.message.contains("no response within"), "{}", failure.message);
}

#[tokio::test]
async fn a_tls_handshake_without_a_response_makes_the_destination_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut settings = settings(Protocol::Http, "127.0.0.1", port).await;
    settings.endpoint.tls = true;

    let failure = unavailable(&settings).await;

    assert_eq!(failure.code, "TLS");
    assert!(failure.message.contains("no response within"), "{}", failure.message);
}

#[tokio::test]
async fn the_failure_suggests_a_wrong_port_when_the_server_does_not_speak_http() {
    for protocol in PROTOCOLS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let banner = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            stream.writable().await.unwrap();
            stream
                .try_write(b"220 mail.example ESMTP ready, and what might you want?\r\n")
                .unwrap();
            stream
        });

        let failure = unavailable(&settings(protocol, "127.0.0.1", port).await).await;

        assert!(failure.message.contains("; is this its OTLP/"), "{}", failure.message);
        banner.await.unwrap();
    }
}

#[tokio::test]
async fn the_failure_suggests_a_wrong_port_when_the_server_speaks_the_other_protocol() {
    let http = ScriptedDestination::start(Protocol::Http).await;
    let grpc = ScriptedDestination::start(Protocol::Grpc).await;
    for (protocol, server) in [(Protocol::Grpc, &http), (Protocol::Http, &grpc)] {
        let port = server.address().port();

        let failure = unavailable(&settings(protocol, "127.0.0.1", port).await).await;

        assert!(failure.message.contains("; is this its OTLP/"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_connection_without_ping_responses_is_abandoned_before_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut settings = settings(Protocol::Grpc, "127.0.0.1", port).await;
    settings.timeout = Duration::from_secs(10);
    let destination = AnyDestination::from_settings(Some(&settings));
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (_request, mut response) = connection.accept().await.unwrap().unwrap();
        let answer = http::Response::builder().header("grpc-status", "0").body(()).unwrap();
        response.send_response(answer, true).unwrap();
        // Completes the exchange, then stays silent.
        let _ = timeout(Duration::from_millis(50), connection.accept()).await;
        connection
    });
    destination.send(batch(&["a"])).await.unwrap();
    let _silent = server.await.unwrap();
    tokio::time::pause();
    let before = tokio::time::Instant::now();

    let failure = destination.send(batch(&["b"])).await.unwrap_err();

    // It was given up early enough to try another one, which the server does not accept.
    assert_eq!((failure.kind, failure.code), (FailureKind::Unavailable, "CONNECT"));
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
}

/// The type and the stream of the next HTTP/2 frame (RFC 9113, 4.1).
async fn frame(stream: &mut TcpStream) -> (u8, u32) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    let [a, b, c, kind, _flags, id @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).await.unwrap();
    (kind, u32::from_be_bytes(id))
}

/// Accepts the first request of each connection and answers the second with `refusal`.
async fn refusing_server(listener: TcpListener, refusal: &'static [u8]) {
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    const OK: &[u8] = b"\0\0\x10\x01\x05\0\0\0\x01\x88\0\x0bgrpc-status\x010";
    const HEADERS: u8 = 1;
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 24]).await.unwrap();
        stream.write_all(SETTINGS).await.unwrap();
        loop {
            match frame(&mut stream).await {
                (HEADERS, 1) => stream.write_all(OK).await.unwrap(),
                (HEADERS, _) => break stream.write_all(refusal).await.unwrap(),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_was_certainly_not_read_is_repeated_without_a_failure() {
    // A GOAWAY whose last stream is 1, and a stream that is refused.
    let go_away = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0";
    let refused = b"\0\0\x04\x03\0\0\0\0\x03\0\0\0\x07";
    for refusal in [&go_away[..], refused] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(refusing_server(listener, refusal));
        let settings = settings(Protocol::Grpc, "127.0.0.1", port).await;
        let destination = AnyDestination::from_settings(Some(&settings));

        for name in ["a", "b"] {
            let delivered = destination.send(batch(&[name])).await.unwrap();
            assert_eq!(delivered.rejected_spans, 0);
        }

        server.abort();
    }
}
