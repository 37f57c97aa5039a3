//! Accepting connections and serving HTTP/1.1 and HTTP/2 on them, both on every port.
//!
//! Everything that a peer can make grow is bounded here: connections, streams, windows, header sizes
//! and timeouts.

mod connection;
mod listen;
mod probe;
mod protocol_detector;
mod tls;

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

pub use listen::{BindError, bind, loopback_if_unspecified};
pub use probe::TlsProbe;
pub use tls::Tls;

use connection::{Connection, MAX_HANDSHAKING};
use protocol_detector::{Plaintext, ProtocolDetector};

/// Maximum number of open connections, over all ports. Further ones wait in the kernel's backlog.
pub const MAX_CONNECTIONS: usize = 256;
/// Pause before accepting again when the process is out of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Handles requests. Cloned for every connection.
pub trait HttpService: Clone + Send + Sync + 'static {
    /// The body of a response.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send>
        + Send
        + 'static;

    /// Handles one request of `peer`.
    fn handle(
        &self,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// The connections of one group of ports.
#[derive(Clone)]
pub struct HttpServer {
    permits: Arc<Semaphore>,
    handshaking: Arc<Semaphore>,
    open_connections: watch::Sender<usize>,
    shutdown: watch::Sender<bool>,
}

/// A permit for one open connection, held until it is dropped.
struct ConnectionPermit {
    open_connections: watch::Sender<usize>,
    _permit: OwnedSemaphorePermit,
}

impl HttpServer {
    /// Creates a server without connections.
    #[must_use]
    pub fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            handshaking: Arc::new(Semaphore::new(MAX_HANDSHAKING)),
            open_connections: watch::Sender::new(0),
            shutdown: watch::Sender::new(false),
        }
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        *self.open_connections.borrow()
    }

    /// Waits until no connection is open.
    pub async fn all_closed(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.open_connections.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Stops accepting and asks every peer to close after its open requests (GOAWAY).
    pub fn shut_down(&self) {
        self.shutdown.send_replace(true);
    }

    /// Keeps serving for `shutdown_delay`, so clients know that this process ends; then asks
    /// every peer to close after its open requests, and waits for at most `drain_timeout`.
    pub async fn shut_down_gracefully(&self, shutdown_delay: Duration, drain_timeout: Duration) {
        tokio::time::sleep(shutdown_delay).await;
        self.shut_down();
        // Connections that are still open after that are cut off.
        let _ = tokio::time::timeout(drain_timeout, self.all_closed()).await;
    }

    /// Accepts connections on `listeners` until [`HttpServer::shut_down`]; returns when the last
    /// connection is closed.
    pub async fn serve<S: HttpService>(&self, listeners: Vec<TcpListener>, service: S) {
        self.serve_with(Plaintext, listeners, service).await;
    }

    /// As [`HttpServer::serve`], over TLS. A peer selects HTTP/2 by ALPN; without ALPN it uses
    /// HTTP/1.1.
    pub async fn serve_tls<S: HttpService>(
        &self,
        listeners: Vec<TcpListener>,
        tls: Tls,
        service: S,
    ) {
        self.serve_with(tls, listeners, service).await;
    }

    async fn serve_with<O: ProtocolDetector, S: HttpService>(
        &self,
        detector: O,
        listeners: Vec<TcpListener>,
        service: S,
    ) {
        let mut loops = JoinSet::new();
        for listener in listeners {
            loops.spawn(self.clone().accept(detector.clone(), listener, service.clone()));
        }
        loops.join_all().await;
        self.all_closed().await;
    }

    async fn accept<O: ProtocolDetector, S: HttpService>(
        self,
        detector: O,
        listener: TcpListener,
        service: S,
    ) {
        let mut shutdown = self.shutdown.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept_next(&listener) => accepted,
                _ = shutdown.wait_for(|down| *down) => return,
            };
            match accepted {
                Ok((connection, stream)) => {
                    tokio::spawn(connection.serve(stream, detector.clone(), service.clone()));
                }
                Err(error) => handle_accept_error(&error).await,
            }
        }
    }

    async fn accept_next(&self, listener: &TcpListener) -> io::Result<(Connection, TcpStream)> {
        let (stream, peer) = listener.accept().await?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        // Otherwise small responses wait for the peer's delayed acknowledgement, up to 40 ms.
        stream.set_nodelay(true)?;
        let permit = ConnectionPermit::new(&self.open_connections, permit);
        let handshaking = Arc::clone(&self.handshaking);
        let connection = Connection::new(peer.ip(), permit, handshaking, self.shutdown.subscribe());
        Ok((connection, stream))
    }
}

impl ConnectionPermit {
    fn new(open: &watch::Sender<usize>, permit: OwnedSemaphorePermit) -> Self {
        open.send_modify(|open| *open += 1);
        Self { open_connections: open.clone(), _permit: permit }
    }
}

impl ConnectionPermit {
    fn open_connections(&self) -> usize {
        *self.open_connections.borrow()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.open_connections.send_modify(|open| *open -= 1);
    }
}

impl Default for HttpServer {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps the loop from spinning on a persistent error, such as too many open files.
async fn handle_accept_error(error: &io::Error) {
    let gone =
        matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
    if gone || error.kind() == io::ErrorKind::InvalidInput {
        debug!(%error, "a connection was gone before it was accepted");
        return;
    }
    warn!(%error, "cannot accept connections; trying again");
    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
}

#[cfg(test)]
mod tests;
