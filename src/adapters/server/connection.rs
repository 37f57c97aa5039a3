//! One connection: its protocol, and the bounds of what it may use.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tracing::debug;

use super::protocol_detector::{HttpVersion, IoStream, ProtocolDetector};
use super::{ConnectionPermit, HttpService};

/// Timeout for the first bytes of a peer, a TLS handshake included.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for the head of an HTTP/1 request, and for the pause between two requests.
const HTTP1_IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Interval of HTTP/2 keep-alive pings to a silent peer, and the timeout of the reply.
const PING_INTERVAL: Duration = Duration::from_mins(1);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Age at which a peer is asked to reconnect; up to a tenth more is added at random.
const MAX_CONNECTION_AGE: Duration = Duration::from_hours(1);

/// Maximum size of a request's head, in bytes.
const MAX_HEAD_BYTES: u32 = 16 << 10;
/// HTTP/1 read buffer, which also holds a body until it is read.
const HTTP1_BUFFER_BYTES: usize = 16 << 10;
/// Concurrent streams of an HTTP/2 connection. A peer that has seen this limit queues further requests
/// itself; before that they are refused, and lost if the client does not retry. So it is at least what
/// exporters send at once: 30 in JavaScript, fewer elsewhere.
const MAX_STREAMS: u32 = 32;
/// Flow-control window of a stream, for the first connections and for all others. With the narrow one
/// a frame fits into h2's read buffer of 8 KiB, which would grow several times over otherwise.
const WIDE_STREAM_WINDOW: u32 = 64 << 10;
const NARROW_STREAM_WINDOW: u32 = (8 << 10) - 64;
/// Number of connections that get a wide window; with more, unread requests could use too much memory.
const WIDE_CONNECTIONS: usize = 2;
const MAX_SEND_BUFFER_BYTES: usize = 16 << 10;

/// HTTP/2 connections that may be new at once. A client that does not wait for our settings uses the
/// default window of 64 KiB first, and many such clients together would use too much memory.
pub(super) const MAX_HANDSHAKING: usize = 16;
/// A connection is new until its first response, and at most this long.
const HANDSHAKING_TIMEOUT: Duration = Duration::from_millis(200);

type MaybeContent<B> = Either<B, Empty<Bytes>>;

pub(super) struct Connection {
    peer: IpAddr,
    _permit: ConnectionPermit,
    stream_window: u32,
    handshaking: Arc<Semaphore>,
    shutdown: watch::Receiver<bool>,
}

impl Connection {
    pub(super) fn new(
        peer: IpAddr,
        permit: ConnectionPermit,
        handshaking: Arc<Semaphore>,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        let open_connections = permit.open_connections();
        let stream_window = if open_connections <= WIDE_CONNECTIONS {
            WIDE_STREAM_WINDOW
        } else {
            NARROW_STREAM_WINDOW
        };
        Self { peer, _permit: permit, stream_window, handshaking, shutdown }
    }

    /// Serves requests until the peer disconnects, violates a bound, or is asked to leave.
    pub(super) async fn serve<S: HttpService>(
        mut self,
        stream: TcpStream,
        detector: impl ProtocolDetector,
        service: S,
    ) {
        let opened = tokio::select! {
            opened = tokio::time::timeout(PREFACE_TIMEOUT, detector.detect(stream)) => opened,
            _ = self.shutdown.wait_for(|down| *down) => return,
        };
        match opened {
            Ok(Ok((stream, HttpVersion::Http2))) => self.serve_http2(stream, service).await,
            Ok(Ok((stream, HttpVersion::Http1))) => self.serve_http1(stream, service).await,
            Ok(Err(error)) => debug!(%error, "a connection ended before its first request"),
            Err(_) => debug!("a connection that sent nothing was closed"),
        }
    }

    async fn serve_http1<S: HttpService>(self, stream: impl IoStream, service: S) {
        let answer = service_fn(move |request| {
            let service = service.clone();
            async move { Ok::<_, Infallible>(service.handle(self.peer, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HTTP1_IDLE_TIMEOUT)
            .max_buf_size(HTTP1_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), answer);
        drive(pin!(connection), http1::Connection::graceful_shutdown, self.shutdown).await;
    }

    async fn serve_http2<S: HttpService>(self, stream: impl IoStream, service: S) {
        let answered = Arc::new(Notify::new());
        if let Ok(permit) = self.handshaking.acquire_owned().await {
            tokio::spawn(release_after_first_response(permit, Arc::clone(&answered)));
        }
        let answer = service_fn(move |request: Request<Incoming>| {
            let service = service.clone();
            let answered = Arc::clone(&answered);
            async move {
                let is_head = request.method() == Method::HEAD;
                let response = service.handle(self.peer, request).await;
                let response =
                    if is_head { without_content(response) } else { with_content(response) };
                answered.notify_one();
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(MAX_STREAMS)
            // A stream that waits for memory must not use up the window of the one that is being read.
            .initial_connection_window_size(self.stream_window * MAX_STREAMS)
            .initial_stream_window_size(self.stream_window)
            .max_header_list_size(MAX_HEAD_BYTES)
            .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), answer);
        drive(pin!(connection), http2::Connection::graceful_shutdown, self.shutdown).await;
    }
}

/// Ends the handshaking state of a connection once it has its first response, and with it our window,
/// or once its time is over.
async fn release_after_first_response(permit: OwnedSemaphorePermit, answered: Arc<Notify>) {
    // On a timeout, too, the next connection may begin.
    let _ = tokio::time::timeout(HANDSHAKING_TIMEOUT, answered.notified()).await;
    drop(permit);
}

fn with_content<B: Body<Data = Bytes>>(response: Response<B>) -> Response<MaybeContent<B>> {
    response.map(Either::Left)
}

/// Turns the response to GET into the response to HEAD (RFC 9110, 9.3.2). Over HTTP/1 hyper does it.
fn without_content<B: Body<Data = Bytes>>(mut response: Response<B>) -> Response<MaybeContent<B>> {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response.map(|_| Either::Right(Empty::new()))
}

/// Runs a connection to its end; asks it to close at shutdown or at its maximum age.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    ask_to_end: fn(Pin<&mut C>),
    shutdown: watch::Receiver<bool>,
) {
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown_or_max_age(shutdown) => {
            ask_to_end(connection.as_mut());
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended with an error");
    }
}

/// Completes at shutdown or at the maximum age of the connection.
async fn shutdown_or_max_age(mut shutdown: watch::Receiver<bool>) {
    let jitter = MAX_CONNECTION_AGE.mul_f64(fastrand::f64() / 10.0);
    // An error would mean that the sender is gone, but it outlives every connection.
    let _ =
        tokio::time::timeout(MAX_CONNECTION_AGE + jitter, shutdown.wait_for(|down| *down)).await;
}
