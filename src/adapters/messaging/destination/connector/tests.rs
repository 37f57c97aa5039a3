use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;

use super::super::config::Compression;
use super::*;
use crate::adapters::messaging::notation::headers::{HeaderFiles, Headers};

fn connector() -> Connector {
    Connector::new(&DestinationSettings {
        endpoint: Endpoint {
            tls: false,
            host: "traces.example".to_owned(),
            port: 4317,
            path: String::new(),
        },
        protocol: Protocol::Grpc,
        compression: Compression::None,
        headers: Headers::default(),
        headers_file: None,
        header_files: HeaderFiles::default(),
        ca_file: None,
        server_name: None,
        client_certificate_file: None,
        client_key_file: None,
        timeout: Duration::from_secs(1),
    })
}

async fn listener() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}

async fn refusing() -> SocketAddr {
    listener().await.0
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let (open, _listener) = listener().await;
    let deadline = Deadline::after(Duration::from_secs(1));

    let stream = connector().dial(vec![refusing().await, open], deadline).await.unwrap();

    assert_eq!(stream.peer_addr().unwrap(), open);
}

#[tokio::test]
async fn a_connection_has_nodelay_no_linger_and_keepalive() {
    let (open, _listener) = listener().await;
    let deadline = Deadline::after(Duration::from_secs(1));

    let stream = connector().dial(vec![open], deadline).await.unwrap();

    let socket = SockRef::from(&stream);
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
}

#[tokio::test]
async fn an_unresponsive_address_leaves_time_for_the_next() {
    // The backlog is full, so the kernel drops further connection attempts.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let silent = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(50), TcpStream::connect(silent)).await {
        waiting.push(stream.unwrap());
    }
    let (open, _listener) = listener().await;

    let deadline = Deadline::after(Duration::from_millis(600));
    let stream = connector().dial(vec![silent, open], deadline).await.unwrap();

    assert_eq!(stream.peer_addr().unwrap(), open);
    assert!(deadline.remaining() > Duration::from_millis(100), "{:?}", deadline.remaining());
}

#[tokio::test]
async fn every_address_that_failed_is_named() {
    let addresses = vec![refusing().await, refusing().await];
    let deadline = Deadline::after(Duration::from_secs(1));

    let failure = connector().dial(addresses.clone(), deadline).await.unwrap_err();

    assert_eq!(failure.code, "CONNECT");
    for part in [addresses[0].to_string(), addresses[1].to_string(), "traces.example".into()] {
        assert!(failure.message.contains(&part), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_name_without_addresses_is_a_failure_of_dns() {
    let deadline = Deadline::after(Duration::from_secs(1));

    assert_eq!(connector().dial(Vec::new(), deadline).await.unwrap_err().code, "DNS");
}
