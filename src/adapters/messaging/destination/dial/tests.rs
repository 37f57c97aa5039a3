use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;

use super::*;

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

    let stream = connect_to_any(&[refusing().await, open], deadline).await.unwrap();

    assert_eq!(stream.peer_addr().unwrap(), open);
}

#[tokio::test]
async fn a_connection_has_nodelay_no_linger_and_keepalive() {
    let (open, _listener) = listener().await;
    let deadline = Deadline::after(Duration::from_secs(1));

    let stream = connect_to_any(&[open], deadline).await.unwrap();

    let socket = SockRef::from(&stream);
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_millis(500)));
}

#[tokio::test]
async fn an_unresponsive_address_costs_a_fraction_of_a_second() {
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

    let deadline = Deadline::after(Duration::from_secs(10));
    let stream = connect_to_any(&[silent, open], deadline).await.unwrap();

    assert_eq!(stream.peer_addr().unwrap(), open);
    assert!(deadline.remaining() > Duration::from_secs(9), "{:?}", deadline.remaining());
}

#[tokio::test]
async fn every_address_that_failed_is_named() {
    let addresses = [refusing().await, refusing().await];
    let deadline = Deadline::after(Duration::from_secs(1));

    let failure = connect_to_any(&addresses, deadline).await.unwrap_err();

    assert_eq!(failure.stage, SendStage::Connect);
    for part in addresses.map(|address| address.to_string()) {
        assert!(failure.reason.contains(&part), "{}", failure.reason);
    }
}

#[test]
fn the_addresses_of_both_families_alternate_and_the_preferred_one_is_first() {
    let of = |text: &str| text.parse::<SocketAddr>().unwrap();
    let v4 = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"].map(of);
    let v6 = of("[fd00::1]:1");

    let preferring_v4 = spread(vec![v4[0], v6, v4[1], v4[2]]);
    let preferring_v6 = spread(vec![v6, v4[0], v4[1], v4[2]]);

    assert_eq!(preferring_v4[1], v6);
    assert_eq!(preferring_v6[0], v6);
    let mut all = preferring_v4;
    all.sort();
    assert_eq!(all, [v4[0], v4[1], v4[2], v6]);
}

#[test]
fn every_address_is_first_about_equally_often() {
    let addresses: Vec<SocketAddr> =
        (1..=4).map(|last| SocketAddr::from(([10, 0, 0, last], 1))).collect();
    let mut first = [0; 4];

    for _ in 0..4_000 {
        let address = spread(addresses.clone())[0];
        first[addresses.iter().position(|one| *one == address).unwrap()] += 1;
    }

    assert!(first.iter().all(|times| (800..1_200).contains(times)), "{first:?}");
}
