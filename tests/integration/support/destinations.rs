//! Destinations: one that records the body of every request, and one that refuses connections.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Empty};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// An OTLP/HTTP destination that accepts everything. Stops when dropped.
pub(crate) struct RecordingDestination {
    address: SocketAddr,
    bodies: UnboundedReceiver<Bytes>,
    _accepting: JoinSet<()>,
}

/// A destination that refuses connections.
pub(crate) struct UnreachableDestination {
    pub(crate) endpoint: String,
    /// Holds the port without listening.
    _socket: TcpSocket,
}

impl RecordingDestination {
    /// Listens on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (sender, bodies) = unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, sender));
        Self { address, bodies, _accepting: accepting }
    }

    /// The URL for `ENDPOINT`, with `PROTOCOL` http.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the body of the next request.
    pub(crate) async fn next(&mut self) -> Bytes {
        let next_body =
            timeout(REQUEST_TIMEOUT, self.bodies.recv()).await.expect("a request arrives in time");
        next_body.expect("self holds the server")
    }

    /// The body of a request that has arrived and was not read yet.
    pub(crate) fn try_next_body(&mut self) -> Option<Bytes> {
        self.bodies.try_recv().ok()
    }
}

impl UnreachableDestination {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port is free");
        let address = socket.local_addr().expect("a bound socket has an address");
        Self { endpoint: format!("http://{address}"), _socket: socket }
    }
}

async fn accept(listener: TcpListener, sender: UnboundedSender<Bytes>) {
    // Dropped with this task, which closes all connections.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let sender = sender.clone();
        let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let sender = sender.clone();
            async move {
                if let Ok(body) = request.into_body().collect().await {
                    // The recorder may have been dropped.
                    let _ = sender.send(body.to_bytes());
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        connections.spawn(async move {
            // A client that disconnects in the middle is not the recorder's concern.
            let _ = connection.await;
        });
    }
}
