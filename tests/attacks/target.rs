//! What an attacker knows of the receiver, and how attackers come back.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::payload::Bodies;

/// Pause of an attacker whose connection was ended, before it comes back.
const RETURN_DELAY: Duration = Duration::from_millis(20);
/// The smallest receive buffer that the kernel grants is larger than this.
const SMALLEST_RECEIVE_BUFFER: u32 = 1;

/// The addresses of one receiver, and what can be sent there.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    /// The admin port at the address of the pod.
    pub(crate) admin: SocketAddr,
    pub(crate) bodies: Arc<Bodies>,
}

/// The attackers; they end when this is dropped.
pub(crate) type Attackers = JoinSet<()>;

impl Target {
    /// The OTLP ports in turn: both serve both protocols.
    pub(crate) fn otlp(&self, number: usize) -> SocketAddr {
        if number.is_multiple_of(2) { self.grpc } else { self.http }
    }
}

/// Starts `count` attackers. One whose connection the receiver ends or refuses comes back.
pub(crate) fn attackers<A, F>(count: usize, attack: A) -> Attackers
where
    A: Fn(usize) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut set = JoinSet::new();
    for number in 0..count {
        let attack = attack.clone();
        set.spawn(async move {
            loop {
                // A receiver that cuts off an attacker may do so at any moment and in any way.
                let _ = attack(number).await;
                sleep(RETURN_DELAY).await;
            }
        });
    }
    set
}

/// Connects, and lets the kernel take as little as possible of what the receiver sends.
pub(crate) async fn connect_with_small_buffer(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(SMALLEST_RECEIVE_BUFFER)?;
    socket.connect(address).await
}
