//! A real OTLP destination in this process, with scripted responses.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tracebuffer::adapters::messaging::destination::config::{
    Compression, DestinationSettings, Endpoint, Protocol,
};
use tracebuffer::adapters::messaging::notation::headers::{HeaderFiles, Headers};

mod messages;
mod serve;

pub(crate) use self::messages::{RawResponse, ReceivedRequest, compressed};

const POLL: Duration = Duration::from_millis(5);

/// How to treat one request.
#[derive(Clone, Debug)]
pub(crate) enum ScriptedResponse {
    /// Accepts the spans.
    Accept,
    /// Accepts the request, and responds with rejected spans, a message, or both.
    PartialSuccess { rejected: i64, message: &'static str },
    /// Refuses, in gRPC; a delay becomes a `RetryInfo`.
    Grpc { code: i32, message: &'static str, retry_after: Option<Duration> },
    /// Refuses, in HTTP; `retry_after` is the unchanged value of the header.
    Http { status: u16, message: &'static str, retry_after: Option<String> },
    /// Sends exactly this response.
    RawResponse(RawResponse),
    /// Reads the request and never responds.
    NeverRespond,
    /// Does not even read the request.
    NeverRead,
    /// Accepts a request of at most this many bytes. Of a longer one it reads as much, and resets
    /// the stream (HTTP/2) or closes the connection (HTTP/1.1), as some proxies do.
    AcceptUpTo(usize),
    /// Waits before the response.
    Delay(Duration, Box<ScriptedResponse>),
    /// Resets the stream (HTTP/2), or closes the connection instead of a response (HTTP/1.1).
    ResetStream,
    /// Resets the TCP connection.
    ResetConnection,
    /// Responds, and asks for no more requests on this connection.
    GoAway(Box<ScriptedResponse>),
    /// Gives the first response to requests that match, the second to others.
    If(fn(&ReceivedRequest) -> bool, Box<ScriptedResponse>, Box<ScriptedResponse>),
}

/// The destination. Stops when dropped.
pub(crate) struct ScriptedDestination {
    address: SocketAddr,
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    /// Holds the port while stopped, so that no other test gets it. Connections are refused.
    reserved: Option<TcpSocket>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    script: VecDeque<ScriptedResponse>,
    default_response: ScriptedResponse,
    requests: Vec<ReceivedRequest>,
    accepted: Vec<Span>,
    connections: usize,
    open: usize,
    idle_close: Arc<Notify>,
}

impl ScriptedDestination {
    /// Listens on a port of its own, in plain text. Accepts all requests by default.
    pub(crate) async fn start(protocol: Protocol) -> Self {
        Self::start_with(protocol, None).await
    }

    /// Listens with TLS.
    pub(crate) async fn start_tls(protocol: Protocol, config: ServerConfig) -> Self {
        Self::start_with(protocol, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(protocol: Protocol, tls: Option<TlsAcceptor>) -> Self {
        let state = State {
            script: VecDeque::new(),
            default_response: ScriptedResponse::Accept,
            requests: Vec::new(),
            accepted: Vec::new(),
            connections: 0,
            open: 0,
            idle_close: Arc::default(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: watch::Sender::new(()) });
        let mut destination = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            protocol,
            tls,
            shared,
            accepting: None,
            reserved: None,
        };
        destination.restart().await;
        destination
    }

    /// The settings of a client that sends here, without TLS files, with a timeout of 5 s.
    pub(crate) fn settings(&self) -> DestinationSettings {
        DestinationSettings {
            endpoint: Endpoint {
                tls: self.tls.is_some(),
                host: "localhost".to_owned(),
                port: self.address.port(),
                path: match self.protocol {
                    Protocol::Grpc => String::new(),
                    Protocol::Http => "/v1/traces".to_owned(),
                },
            },
            protocol: self.protocol,
            compression: Compression::None,
            headers: Headers::default(),
            headers_file: None,
            header_files: HeaderFiles::default(),
            ca_file: None,
            server_name: None,
            client_certificate_file: None,
            client_key_file: None,
            timeout: Duration::from_secs(5),
            connection_max_age: Some(Duration::from_mins(5)),
            proxy: None,
        }
    }

    /// Where it listens, also while stopped.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Appends the responses to the next requests to the script.
    pub(crate) fn script(&self, answers: impl IntoIterator<Item = ScriptedResponse>) {
        self.shared.state.lock().script.extend(answers);
    }

    /// Sets the response after the end of the script, which is to accept by default.
    pub(crate) fn set_default_response(&self, answer: ScriptedResponse) {
        self.shared.state.lock().default_response = answer;
    }

    /// All requests, refused ones too, in the order in which they were read.
    pub(crate) fn requests(&self) -> Vec<ReceivedRequest> {
        self.shared.state.lock().requests.clone()
    }

    /// The spans of accepted requests, in order.
    pub(crate) fn received_spans(&self) -> Vec<Span> {
        self.shared.state.lock().accepted.clone()
    }

    /// The names of [`Self::received_spans`].
    pub(crate) fn received_names(&self) -> Vec<String> {
        self.received_spans().into_iter().map(|span| span.name).collect()
    }

    /// Connections made since the start.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state.lock().connections
    }

    /// Waits until the script is at its end, its last response begun. Bound it by a timeout.
    pub(crate) async fn wait_for_script_end(&self) {
        self.wait_until(|state| state.script.is_empty()).await;
    }

    /// Waits until `count` requests were read. Bound it by a timeout.
    pub(crate) async fn wait_for_requests(&self, count: usize) {
        self.wait_until(|state| state.requests.len() >= count).await;
    }

    /// Waits until `count` spans were accepted. Bound it by a timeout.
    pub(crate) async fn wait_for_spans(&self, count: usize) {
        self.wait_until(|state| state.accepted.len() >= count).await;
    }

    /// Waits until exactly `count` connections are open. Bound it by a timeout.
    pub(crate) async fn wait_for_open_connections(&self, count: usize) {
        self.wait_until(|state| state.open == count).await;
    }

    async fn wait_until(&self, reached: impl Fn(&State) -> bool) {
        let mut changes = self.shared.changed.subscribe();
        while !reached(&self.shared.state.lock()) {
            changes.changed().await.expect("self holds the sender");
        }
    }

    /// Closes the connections that are open, as a server does with idle ones.
    pub(crate) async fn close_connections(&self) {
        self.shared.state.lock().idle_close.notify_waiters();
        self.wait_for_open_connections(0).await;
    }

    /// Stops listening and resets all connections: the next attempt to connect is refused.
    pub(crate) async fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
            self.wait_for_open_connections(0).await;
            self.reserved = Some(reserve(self.address).expect("the port was its own until now"));
        }
    }

    /// Listens on the same port again.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.reserved = None;
        let listener = listen_again(self.address).await.expect("the port is free");
        self.address = listener.local_addr().expect("a bound socket has an address");
        let serve =
            serve::listen(listener, self.protocol, self.tls.clone(), Arc::clone(&self.shared));
        self.accepting = Some(tokio::spawn(serve));
    }
}

/// Listens on an address that was released just now. A child process that another test starts at
/// this moment holds it until it executes its program.
async fn listen_again(address: SocketAddr) -> io::Result<TcpListener> {
    for _ in 0..100 {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => sleep(POLL).await,
            ended => return ended,
        }
    }
    TcpListener::bind(address).await
}

/// Binds the address, even while earlier connections are closing, so that nothing else can bind it.
fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.set_reuseaddr(false)?;
    Ok(socket)
}

impl Drop for ScriptedDestination {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

impl ScriptedResponse {
    /// Refuses in gRPC.
    pub(crate) const fn grpc(code: i32) -> Self {
        Self::Grpc { code, message: "scripted", retry_after: None }
    }

    /// Refuses, and delays the next attempt by 2 s.
    pub(crate) fn come_back_later(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Grpc => Self::Grpc {
                code: 14,
                message: "scripted",
                retry_after: Some(Duration::from_secs(2)),
            },
            Protocol::Http => {
                Self::Http { status: 503, message: "scripted", retry_after: Some("2".to_owned()) }
            }
        }
    }

    /// Refuses in HTTP.
    pub(crate) const fn http(status: u16) -> Self {
        Self::Http { status, message: "scripted", retry_after: None }
    }
}

impl Shared {
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock());
        self.changed.send_replace(());
        result
    }
}
