//! One open HTTP connection and the tasks that drive it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;

use super::body::{Rope, RopeBody};
use super::http_connection_error::HttpConnectionError;
use super::io_stream::IoStream;

/// The value of `user-agent`.
pub(super) const PRODUCT: &str = concat!("tracebuffer/", env!("CARGO_PKG_VERSION"));
/// Receive window of HTTP/2. The protocol's default is enough, since responses are small.
const WINDOW_BYTES: u32 = 65_535;
/// Maximum head of a response: the messages of some servers list every span they refused.
const MAX_HEAD_BYTES: u32 = 64 * 1024;
/// Read buffer of HTTP/1.1, which must hold the largest head.
const READ_BUFFER_BYTES: usize = MAX_HEAD_BYTES as usize;
/// Maximum wait for the response to an HTTP/2 ping.
const MAX_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A request, independent of the HTTP version.
#[derive(Clone, Debug)]
pub(super) struct HttpRequest {
    pub(super) target: Arc<Target>,
    pub(super) headers: HeaderMap,
    pub(super) body: Rope,
}

/// The target URI of requests.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) scheme: &'static str,
    /// `host:port`, or only the host if the port is the scheme's default.
    pub(super) authority: String,
    pub(super) path: String,
}

/// An HTTP/2 connection, for any number of concurrent requests.
#[derive(Debug)]
pub(super) struct Http2 {
    sender: http2::SendRequest<RopeBody>,
    _tasks: TaskGuard,
}

/// An HTTP/1.1 connection, for one request at a time.
#[derive(Debug)]
pub(super) struct Http1 {
    sender: http1::SendRequest<RopeBody>,
    _tasks: TaskGuard,
}

/// Ends the tasks of a connection when dropped. This closes the socket and frees the unsent bytes
/// of abandoned requests, even if the peer no longer reads.
#[derive(Debug)]
struct TaskGuard(#[expect(dead_code, reason = "held to be dropped")] watch::Sender<()>);

/// Spawns tasks that end with their [`TaskGuard`].
#[derive(Clone, Debug)]
struct Spawner(watch::Receiver<()>);

impl HttpRequest {
    fn for_http2(self) -> http::Result<Request<RopeBody>> {
        let uri = Uri::builder()
            .scheme(self.target.scheme)
            .authority(self.target.authority.as_str())
            .path_and_query(self.target.path.as_str())
            .build()?;
        Ok(post(uri, Version::HTTP_2, self.headers, self.body))
    }

    fn for_http1(mut self) -> http::Result<Request<RopeBody>> {
        let host = HeaderValue::from_str(&self.target.authority)?;
        self.headers.insert(HOST, host);
        let path = PathAndQuery::try_from(self.target.path.as_str())?;
        Ok(post(Uri::from(path), Version::HTTP_11, self.headers, self.body))
    }
}

fn post(uri: Uri, version: Version, headers: HeaderMap, body: Rope) -> Request<RopeBody> {
    let mut request = Request::new(RopeBody::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.version_mut() = version;
    *request.headers_mut() = headers;
    request
}

impl Http2 {
    pub(super) async fn open(stream: Box<dyn IoStream>, timeout: Duration) -> hyper::Result<Self> {
        let (tasks, spawner) = TaskGuard::new();
        // While a request is open, a peer that is silent for half of its timeout is pinged, one that
        // was idle before at once. So a dead peer is found while there is time left to reach another
        // one, and no server sees more pings than it tolerates.
        let (sender, connection) = http2::Builder::new(spawner.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_header_list_size(MAX_HEAD_BYTES)
            .keep_alive_interval(timeout / 2)
            .keep_alive_timeout((timeout / 4).min(MAX_PING_TIMEOUT))
            .handshake(TokioIo::new(stream))
            .await?;
        spawner.execute(connection);
        Ok(Self { sender, _tasks: tasks })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) async fn send(
        &self,
        request: HttpRequest,
    ) -> Result<Response<Incoming>, HttpConnectionError> {
        Ok(self.sender.clone().send_request(request.for_http2()?).await?)
    }
}

impl Http1 {
    pub(super) async fn open(stream: Box<dyn IoStream>) -> hyper::Result<Self> {
        let (tasks, spawner) = TaskGuard::new();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BUFFER_BYTES)
            .handshake(TokioIo::new(stream))
            .await?;
        spawner.execute(connection);
        Ok(Self { sender, _tasks: tasks })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) async fn send(
        &mut self,
        request: HttpRequest,
    ) -> Result<Response<Incoming>, HttpConnectionError> {
        let request = request.for_http1()?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}

impl TaskGuard {
    fn new() -> (Self, Spawner) {
        let (sender, receiver) = watch::channel(());
        (Self(sender), Spawner(receiver))
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        let mut guard = self.0.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = task => {}
                // Nothing is ever sent: the only change is that the guard was dropped.
                _ = guard.changed() => {}
            }
        });
    }
}
