//! Accepting connections and serving HTTP/1.1 and HTTP/2 on them, both on every port.
//!
//! Everything a peer can make grow is bounded here: connections, streams, windows, header sizes,
//! and the time to say something.

mod connection;
mod listen;
mod opening;
mod probe;
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

pub use listen::{BindError, bind};
pub use probe::TlsProbe;
pub use tls::Tls;

use connection::{Connection, MAX_NEWCOMERS};
use opening::{Opening, Plain};

/// Most connections open at once, over all ports. Further ones wait in the kernel's backlog.
pub const MAX_CONNECTIONS: usize = 256;
/// How long to leave the listener alone when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers requests. Cloned for every connection.
pub trait Service: Clone + Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send>
        + Send
        + 'static;

    /// Answers one request of `peer`.
    fn answer(
        &self,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// The connections of one group of ports.
#[derive(Clone)]
pub struct Connections {
    free: Arc<Semaphore>,
    newcomers: Arc<Semaphore>,
    open: watch::Sender<usize>,
    shutdown: watch::Sender<bool>,
}

/// A place among the open connections, for as long as it lives.
struct Place {
    open: watch::Sender<usize>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// Starts without any.
    #[must_use]
    pub fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            newcomers: Arc::new(Semaphore::new(MAX_NEWCOMERS)),
            open: watch::Sender::new(0),
            shutdown: watch::Sender::new(false),
        }
    }

    /// Returns how many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        *self.open.borrow()
    }

    /// Waits until none is open.
    pub async fn none_open(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Stops accepting and asks every peer to end after its open requests (GOAWAY).
    pub fn shut_down(&self) {
        self.shutdown.send_replace(true);
    }

    /// Serves on for `linger`, until whoever sends to this process has heard that it ends; then
    /// asks every peer to end after its open requests, which may take `last_answers`.
    pub async fn end(&self, linger: Duration, last_answers: Duration) {
        tokio::time::sleep(linger).await;
        self.shut_down();
        // Whoever is still there then is left.
        let _ = tokio::time::timeout(last_answers, self.none_open()).await;
    }

    /// Accepts connections on `listeners` until [`Connections::shut_down`]; ends when the last
    /// connection has.
    pub async fn serve<S: Service>(&self, listeners: Vec<TcpListener>, service: S) {
        self.serve_opened_by(Plain, listeners, service).await;
    }

    /// As [`Connections::serve`], over TLS. A peer chooses HTTP/2 by ALPN and speaks HTTP/1.1
    /// without.
    pub async fn serve_tls<S: Service>(&self, listeners: Vec<TcpListener>, tls: Tls, service: S) {
        self.serve_opened_by(tls, listeners, service).await;
    }

    async fn serve_opened_by<O: Opening, S: Service>(
        &self,
        opening: O,
        listeners: Vec<TcpListener>,
        service: S,
    ) {
        let mut loops = JoinSet::new();
        for listener in listeners {
            loops.spawn(self.clone().accept(opening.clone(), listener, service.clone()));
        }
        loops.join_all().await;
        self.none_open().await;
    }

    async fn accept<O: Opening, S: Service>(self, opening: O, listener: TcpListener, service: S) {
        let mut shutdown = self.shutdown.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = self.next(&listener) => accepted,
                _ = shutdown.wait_for(|down| *down) => return,
            };
            match accepted {
                Ok((connection, stream)) => {
                    tokio::spawn(connection.serve(stream, opening.clone(), service.clone()));
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn next(&self, listener: &TcpListener) -> io::Result<(Connection, TcpStream)> {
        let (stream, peer) = listener.accept().await?;
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)?;
        // Without it, small answers wait for the peer's delayed acknowledgement: 40 ms.
        stream.set_nodelay(true)?;
        let place = Place::new(&self.open, permit);
        let newcomers = Arc::clone(&self.newcomers);
        let connection = Connection::new(peer.ip(), place, newcomers, self.shutdown.subscribe());
        Ok((connection, stream))
    }
}

impl Place {
    fn new(open: &watch::Sender<usize>, permit: OwnedSemaphorePermit) -> Self {
        open.send_modify(|open| *open += 1);
        Self { open: open.clone(), _permit: permit }
    }
}

impl Place {
    fn open(&self) -> usize {
        *self.open.borrow()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open -= 1);
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps the loop from spinning on an error that lasts, such as too many open files.
async fn pause(error: &io::Error) {
    let gone =
        matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
    if gone || error.kind() == io::ErrorKind::InvalidInput {
        debug!(%error, "a connection was gone before it was accepted");
        return;
    }
    warn!(%error, "cannot accept connections; trying again");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests;
