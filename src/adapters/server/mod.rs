//! Accepting connections and serving HTTP/1.1 and HTTP/2 on them, both on every port.
//!
//! Everything that a peer can make grow is bounded here: connections, streams, windows, header sizes
//! and timeouts.

mod connection;
mod connection_table;
mod date;
mod http2;
mod listen;
mod probe;
mod protocol_detector;
mod request_body;
mod short_reads;
mod tls;
mod width;

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

pub use listen::{BindError, bind, loopback_if_unspecified};
pub use probe::TlsProbe;
pub use request_body::{HoldBack, RequestBody};
pub use tls::Tls;
pub use width::STREAM_WINDOW;

use connection::Connection;
use connection_table::ConnectionTable;
use protocol_detector::{Plaintext, ProtocolDetector};

/// Pause before accepting again when the process is out of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// What the peers of one port may use.
#[derive(Clone, Copy, Debug)]
pub struct PortLimits {
    /// Maximum number of open connections.
    pub connections: usize,
    /// How long ago the last success of a connection must be for it to be closed in favour of a new one
    /// when all are in use, and at first twice that. Until then new connections wait.
    pub min_idle: Duration,
    /// Maximum size of a request's head, in bytes. Over HTTP/2, each header counts 32 bytes more
    /// (RFC 9113, 6.5.2).
    pub max_head_bytes: u32,
    /// Whether HTTP/2 is spoken beside HTTP/1.1.
    pub http2: bool,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address of the peer.
    pub ip: IpAddr,
    /// Identifies the connection among all of this process.
    pub connection: u64,
    /// Whether an earlier request on the connection has succeeded, in the last ten seconds.
    pub has_succeeded: bool,
}

/// Handles requests. Cloned for every connection.
pub trait HttpService: Clone + Send + Sync + 'static {
    /// The body of a response.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send>
        + Send
        + 'static;

    /// Handles one request of `peer`.
    fn handle(
        &self,
        peer: Peer,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// The connections of a group of ports. Each port has places of its own.
#[derive(Clone)]
pub struct HttpServer {
    open_connections: watch::Sender<usize>,
    shutdown: watch::Sender<bool>,
}

/// Counts one open connection until it is dropped.
struct ConnectionPermit {
    open_connections: watch::Sender<usize>,
}

/// What the accept loops of one port share.
struct Port<O, S> {
    server: HttpServer,
    limits: PortLimits,
    table: Arc<ConnectionTable>,
    detector: O,
    service: S,
}

impl PortLimits {
    /// Limits of a port that applications send to. Clients send less than 2 KiB of headers.
    pub const OTLP: Self = Self {
        connections: 64,
        min_idle: Duration::from_millis(200),
        max_head_bytes: 8 << 10,
        http2: true,
    };
    /// Limits of a port for health checks and metrics. Few connections a second: a page takes longer to
    /// write than a connection to open.
    pub const ADMIN: Self =
        Self { connections: 32, min_idle: Duration::from_millis(50), http2: false, ..Self::OTLP };
    /// Limits of the port that API servers call.
    pub const WEBHOOK: Self = Self {
        connections: 256,
        min_idle: Duration::from_secs(1),
        max_head_bytes: 16 << 10,
        ..Self::OTLP
    };
}

impl HttpServer {
    /// Creates a server without connections.
    #[must_use]
    pub fn new() -> Self {
        Self { open_connections: watch::Sender::new(0), shutdown: watch::Sender::new(false) }
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

    /// Accepts connections on the `listeners` of one port until [`HttpServer::shut_down`]; returns when
    /// the last connection is closed.
    pub async fn serve<S: HttpService>(
        &self,
        limits: PortLimits,
        listeners: Vec<TcpListener>,
        service: S,
    ) {
        self.serve_with(Plaintext, limits, listeners, service).await;
    }

    /// As [`HttpServer::serve`], over TLS. A peer selects HTTP/2 by ALPN; without ALPN it uses
    /// HTTP/1.1.
    pub async fn serve_tls<S: HttpService>(
        &self,
        limits: PortLimits,
        listeners: Vec<TcpListener>,
        tls: Tls,
        service: S,
    ) {
        self.serve_with(tls, limits, listeners, service).await;
    }

    async fn serve_with<O: ProtocolDetector, S: HttpService>(
        &self,
        detector: O,
        limits: PortLimits,
        listeners: Vec<TcpListener>,
        service: S,
    ) {
        let table = ConnectionTable::new(limits.connections, limits.min_idle);
        let port = Arc::new(Port { server: self.clone(), limits, table, detector, service });
        let mut loops = JoinSet::new();
        for listener in listeners {
            loops.spawn(Arc::clone(&port).accept(listener));
        }
        loops.join_all().await;
        self.all_closed().await;
    }
}

impl<O: ProtocolDetector, S: HttpService> Port<O, S> {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut shutdown = self.server.shutdown.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept_next(&listener) => accepted,
                _ = shutdown.wait_for(|down| *down) => return,
            };
            match accepted {
                Ok((connection, stream)) => {
                    let (detector, service) = (self.detector.clone(), self.service.clone());
                    tokio::spawn(connection.serve(stream, detector, service));
                }
                Err(error) => handle_accept_error(&error).await,
            }
        }
    }

    async fn accept_next(&self, listener: &TcpListener) -> io::Result<(Connection, TcpStream)> {
        static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(0);
        let (stream, peer) = listener.accept().await?;
        let place = self.table.acquire().await;
        // Otherwise small responses wait for the peer's delayed acknowledgement, up to 40 ms.
        stream.set_nodelay(true)?;
        let connection = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
        let connection = Connection {
            peer: Peer { ip: peer.ip(), connection, has_succeeded: false },
            place,
            permit: ConnectionPermit::new(&self.server.open_connections),
            shutdown: self.server.shutdown.subscribe(),
            limits: self.limits,
        };
        Ok((connection, stream))
    }
}

impl ConnectionPermit {
    fn new(open: &watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self { open_connections: open.clone() }
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
