//! One connection: its protocol, and the bounds of what it may use.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutWriter;
use tracing::{debug, warn};

use super::connection_table::Place;
use super::protocol_detector::{HttpVersion, IoStream, ProtocolDetector};
use super::request_body::RequestBody;
use super::short_reads::ShortReads;
use super::{ConnectionPermit, HttpService, Peer, PortLimits};

/// Timeout for the first bytes of a peer, a TLS handshake included.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for the head of an HTTP/1 request, and for the pause between two requests.
const HTTP1_IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// The smallest read buffer that hyper has.
const MIN_HTTP1_BUFFER_BYTES: usize = 8 << 10;
/// How long a peer may read nothing while something is to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Age at which a peer is asked to reconnect; up to a tenth more is added at random.
const MAX_CONNECTION_AGE: Duration = Duration::from_hours(1);

pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) place: Place,
    pub(super) permit: ConnectionPermit,
    pub(super) shutdown: watch::Receiver<bool>,
    pub(super) limits: PortLimits,
}

impl Connection {
    /// Serves requests until the peer disconnects, violates a bound, or has to go.
    pub(super) async fn serve<S: HttpService>(
        self,
        stream: TcpStream,
        detector: impl ProtocolDetector,
        service: S,
    ) {
        let Self { peer, place, permit: _permit, shutdown, limits } = self;
        let opened = tokio::select! {
            opened = timeout(PREFACE_TIMEOUT, detector.detect(stream)) => opened,
            () = is_shut_down(shutdown.clone()) => return,
            () = place.evicted() => return,
        };
        let (stream, version) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                return debug!(%error, "a connection ended before its first request");
            }
            Err(_) => return debug!("a connection that sent nothing was closed"),
        };
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(WRITE_TIMEOUT));
        let stream = ShortReads::new(Box::pin(stream), place.width().portion);
        let leave = shutdown_or_max_age(shutdown);
        match version {
            HttpVersion::Http2 if limits.http2 => {
                log_end(
                    super::http2::serve(
                        stream,
                        service,
                        peer,
                        &place,
                        limits.max_head_bytes,
                        leave,
                    )
                    .await,
                );
            }
            _ => {
                let max_bytes = (limits.max_head_bytes as usize).max(MIN_HTTP1_BUFFER_BYTES);
                let ended = serve_http1(stream, service, peer, &place, max_bytes, leave).await;
                log_oversize_head(&ended, max_bytes);
                log_end(ended);
            }
        }
    }
}

async fn serve_http1<S: HttpService>(
    stream: impl IoStream,
    service: S,
    peer: Peer,
    place: &Place,
    max_head_bytes: usize,
    leave: impl Future<Output = ()>,
) -> hyper::Result<()> {
    let answer = service_fn(|request: Request<Incoming>| {
        let (service, peer) = (service.clone(), place.assess(peer));
        async move {
            let request = request.map(|body| RequestBody::http1(body, place.width()));
            let response = service.handle(peer, request).await;
            place.note(&response);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP1_IDLE_TIMEOUT)
        // The read buffer, which also holds a body until it is read.
        .max_buf_size(max_head_bytes)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = place.evicted() => return Ok(()),
        () = leave => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = connection => ended,
        () = place.evicted() => Ok(()),
    }
}

fn log_end<E: std::fmt::Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        debug!(%error, "a connection ended with an error");
    }
}

/// Logs an oversize head. hyper responds to it, so no service sees the request.
fn log_oversize_head(ended: &hyper::Result<()>, max_bytes: usize) {
    if ended.as_ref().is_err_and(hyper::Error::is_parse_too_large) {
        warn!(
            max_bytes,
            "refused a request whose head is too large; \
             TRACEBUFFER_MAX_HEAD_BYTES is the limit of the OTLP ports"
        );
    }
}

/// Completes at shutdown or at the maximum age of a connection that begins now.
async fn shutdown_or_max_age(shutdown: watch::Receiver<bool>) {
    let jitter = MAX_CONNECTION_AGE.mul_f64(fastrand::f64() / 10.0);
    // Either way the connection has to end.
    let _ = timeout(MAX_CONNECTION_AGE + jitter, is_shut_down(shutdown)).await;
}

async fn is_shut_down(mut shutdown: watch::Receiver<bool>) {
    // An error would mean that the sender is gone, but it outlives every connection.
    let _ = shutdown.wait_for(|down| *down).await;
}
