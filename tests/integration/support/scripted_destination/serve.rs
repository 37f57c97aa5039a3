//! Connections, and how the script controls them.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracebuffer::adapters::messaging::destination::config::Protocol;

use super::messages::{ResponseBody, grpc_error, http_error, is_grpc, read_request, success};
use super::{ScriptedResponse, Shared};

/// Lets a request control its connection.
#[derive(Debug, Default)]
struct ConnectionControl {
    go_away: Notify,
    reset: Notify,
}

/// Counts a connection as open until dropped.
struct OpenConnectionGuard(Arc<Shared>);

impl Drop for OpenConnectionGuard {
    fn drop(&mut self) {
        self.0.update(|state| state.open -= 1);
    }
}

pub(super) async fn listen(
    listener: TcpListener,
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) {
    // Dropped when this task is aborted, which closes all connections.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let number = shared.update(|state| {
            state.connections += 1;
            state.open += 1;
            state.connections - 1
        });
        let open = OpenConnectionGuard(Arc::clone(&shared));
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        connections.spawn(async move {
            connection(stream, protocol, tls, shared, number).await;
            drop(open);
        });
    }
}

async fn connection(
    stream: TcpStream,
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    number: usize,
) {
    stream.set_nodelay(true).expect("a fresh socket takes options");
    let stream = stream.into_std().expect("a fresh socket can be moved");
    // A second handle on the socket, through which it can be reset while hyper owns the first.
    let socket = stream.try_clone().and_then(TcpStream::from_std).expect("sockets can be cloned");
    let stream = TcpStream::from_std(stream).expect("the socket came from tokio");
    let http2 = matches!(protocol, Protocol::Grpc);
    let Some(tls) = tls else {
        return http(stream, socket, http2, shared, number).await;
    };
    if let Ok(stream) = tls.accept(stream).await {
        let http2 = http2 || stream.get_ref().1.alpn_protocol() == Some(b"h2");
        http(stream, socket, http2, shared, number).await;
    }
}

async fn http<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    socket: TcpStream,
    http2: bool,
    shared: Arc<Shared>,
    number: usize,
) {
    let handle = Arc::new(ConnectionControl::default());
    let idle_close = Arc::clone(&shared.state.lock().idle_close);
    let service = {
        let handle = Arc::clone(&handle);
        service_fn(move |request| respond(request, number, Arc::clone(&shared), handle.clone()))
    };
    // One macro for two types of connection that share no trait.
    macro_rules! drive {
        ($connection:expr) => {{
            let mut connection = std::pin::pin!($connection);
            loop {
                tokio::select! {
                    _ = connection.as_mut() => break,
                    () = idle_close.notified() => break,
                    () = handle.go_away.notified() => connection.as_mut().graceful_shutdown(),
                    () = handle.reset.notified() => {
                        socket.set_zero_linger().expect("an open socket takes options");
                        break;
                    }
                }
            }
        }};
    }
    let io = TokioIo::new(stream);
    if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
        drive!(builder.serve_connection(io, service));
    } else {
        drive!(http1::Builder::new().serve_connection(io, service));
    }
}

async fn respond(
    request: Request<Incoming>,
    connection: usize,
    shared: Arc<Shared>,
    handle: Arc<ConnectionControl>,
) -> std::io::Result<Response<ResponseBody>> {
    let mut answer = shared.update(|state| {
        let next = state.script.pop_front();
        next.unwrap_or_else(|| state.default_response.clone())
    });
    if matches!(answer, ScriptedResponse::NeverRead) {
        let _unread = request;
        return std::future::pending().await;
    }
    let max_bytes = match answer {
        ScriptedResponse::AcceptUpTo(bytes) => bytes,
        _ => usize::MAX,
    };
    let received = read_request(request, connection, max_bytes).await?;
    let grpc = is_grpc(&received.headers);
    let spans = received.spans.clone();
    shared.update(|state| state.requests.push(received.clone()));
    loop {
        answer = match answer {
            ScriptedResponse::Delay(time, then) => {
                tokio::time::sleep(time).await;
                *then
            }
            ScriptedResponse::If(such, then, otherwise) => {
                *(if such(&received) { then } else { otherwise })
            }
            ScriptedResponse::GoAway(then) => {
                handle.go_away.notify_one();
                *then
            }
            ScriptedResponse::NeverRespond | ScriptedResponse::NeverRead => {
                return std::future::pending().await;
            }
            ScriptedResponse::ResetConnection => {
                handle.reset.notify_one();
                return std::future::pending().await;
            }
            ScriptedResponse::ResetStream => return Err(std::io::Error::other("scripted")),
            ScriptedResponse::Accept | ScriptedResponse::AcceptUpTo(_) => {
                shared.update(|state| state.accepted.extend(spans));
                return Ok(success(grpc, None).into());
            }
            ScriptedResponse::PartialSuccess { rejected, message } => {
                shared.update(|state| state.accepted.extend(spans));
                return Ok(success(grpc, Some((rejected, message))).into());
            }
            ScriptedResponse::Grpc { code, message, retry_after } => {
                return Ok(grpc_error(code, message, retry_after).into());
            }
            ScriptedResponse::Http { status, message, retry_after } => {
                return Ok(http_error(status, message, retry_after).into());
            }
            ScriptedResponse::RawResponse(reply) => return Ok(reply.into()),
        };
    }
}
