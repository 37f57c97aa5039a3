//! One HTTP/2 connection, over h2 itself.
//!
//! hyper would do this too, but gives a peer new window for everything that is read, so that a body
//! that waits for memory must stay unread, in frames that may be tiny. Here a body is read as it
//! arrives and the peer is held back by its window ([`HoldBack`](super::HoldBack)). The requests of a
//! connection run in its own task, so that their heads are gone before another connection is read.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::header::{CONTENT_LENGTH, DATE};
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::connection_table::Place;
use super::protocol_detector::IoStream;
use super::request_body::RequestBody;
use super::width::Width;
use super::{HttpService, Peer, date};

/// Size of the table of repeated headers. Its entries take several times their size.
const HEADER_TABLE_BYTES: u32 = 1 << 10;
/// Streams that are remembered for a second after they were reset, to ignore frames that crossed.
const MAX_RESET_STREAMS: usize = 8;
const MAX_SEND_BUFFER_BYTES: usize = 16 << 10;

/// Interval of pings, and the timeout of the reply.
const PING_INTERVAL: Duration = Duration::from_mins(1);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a peer that must go may take to read the last frame.
const GOAWAY_TIMEOUT: Duration = Duration::from_millis(100);

/// Serves requests until the peer disconnects or violates a bound, or `leave` completes and the last
/// request is answered.
pub(super) async fn serve<S: HttpService>(
    stream: impl IoStream,
    service: S,
    peer: Peer,
    place: &Place,
    max_head_bytes: u32,
    leave: impl Future<Output = ()>,
) -> Result<(), h2::Error> {
    let mut connection =
        builder(max_head_bytes, place.width()).handshake::<_, Bytes>(stream).await?;
    let mut no_reply = pin!(no_reply(connection.ping_pong()));
    let mut evicted = pin!(place.evicted());
    let mut leave = pin!(leave);
    let mut leaving = false;
    // Unconstrained, because what arrives is portioned already: a request that yields before it has read
    // all of it would fall behind, and unread frames take many times their size.
    let mut requests = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = requests.next(), if !requests.is_empty() => {}
            accepted = connection.accept() => match accepted {
                Some(accepted) => {
                    let (request, respond) = accepted?;
                    let peer = place.assess(peer);
                    requests.push(unconstrained(exchange(&service, peer, place, request, respond)));
                }
                None => break,
            },
            () = leave.as_mut(), if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
            }
            () = evicted.as_mut() => {
                // Nobody would read what arrives meanwhile.
                drop(requests);
                return go_away(connection).await;
            }
            () = no_reply.as_mut() => {
                debug!("a connection was closed because its peer does not reply");
                return Ok(());
            }
        }
    }
    // What the peer sent whole is accepted even if it did not wait for the response.
    while requests.next().await.is_some() {}
    Ok(())
}

fn builder(max_head_bytes: u32, width: &Width) -> Builder {
    // A stream that waits for memory must not use up the window of the one that is being read. Twice
    // what all streams have, because h2 tells the peer of released window only from half of it on.
    let connection_window = 2 * width.window * width.streams;
    let mut builder = Builder::new();
    builder
        .initial_window_size(width.window)
        .initial_connection_window_size(connection_window)
        .max_concurrent_streams(width.streams)
        .max_header_list_size(max_head_bytes)
        .header_table_size(HEADER_TABLE_BYTES)
        .data_frame_budget(width.small_frames_budget)
        .max_concurrent_reset_streams(MAX_RESET_STREAMS)
        .max_send_buffer_size(MAX_SEND_BUFFER_BYTES);
    builder
}

/// Completes when the peer does not reply to a ping in time.
async fn no_reply(pings: Option<PingPong>) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        sleep(PING_INTERVAL).await;
        match timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // An error is one of the connection, which reports it itself.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}

/// Tells the peer of an idle connection that none of its later requests was processed.
async fn go_away<T: IoStream>(mut connection: Connection<T, Bytes>) -> Result<(), h2::Error> {
    connection.abrupt_shutdown(Reason::NO_ERROR);
    let closed = timeout(GOAWAY_TIMEOUT, poll_fn(|cx| connection.poll_closed(cx))).await;
    closed.unwrap_or(Ok(()))
}

/// Answers one request, unless its peer cancels it.
async fn exchange<S: HttpService>(
    service: &S,
    peer: Peer,
    place: &Place,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let is_head = request.method() == Method::HEAD;
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let request = request.map(|stream| RequestBody::http2(stream, length, place.width()));
    let response = tokio::select! {
        biased;
        response = service.handle(peer, request) => response,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    place.note(&response);
    if let Err(error) = send(respond, response, is_head).await {
        debug!(%error, "a response could not be sent");
    }
}

/// Queues a response; the connection sends it as the peer's window allows.
///
/// The response to HEAD has no content (RFC 9110, 9.3.2).
async fn send<B>(
    mut respond: SendResponse<Bytes>,
    response: Response<B>,
    is_head: bool,
) -> Result<(), h2::Error>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let (mut head, body) = response.into_parts();
    let mut body = pin!(body);
    if let Some(length) = body.size_hint().exact().filter(|_| is_head || !body.is_end_stream()) {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    if let Some(date) = date::now() {
        head.headers.insert(DATE, date);
    }
    let ends = is_head || body.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(head, ()), ends)?;
    if ends {
        return Ok(());
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            stream.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        };
        match frame.into_data() {
            Ok(data) if body.is_end_stream() => return stream.send_data(data, true),
            Ok(data) => stream.send_data(data, false)?,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return stream.send_trailers(trailers);
                }
            }
        }
    }
    stream.send_data(Bytes::new(), true)
}
