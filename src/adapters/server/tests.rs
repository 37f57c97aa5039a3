use std::net::SocketAddr;

use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::*;

mod tls;

const LIMITS: PortLimits = PortLimits { connections: 40, ..PortLimits::OTLP };
const SHORT_WAIT: Duration = Duration::from_millis(50);
const HTTP1_REQUEST: &[u8] = b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\nhi";

/// Responds with the length of the body, at `/slow` once it is released, at `/old` after 90 min.
#[derive(Clone, Default)]
struct BodyLengthService {
    release: Arc<Notify>,
}

impl HttpService for BodyLengthService {
    type Body = Full<Bytes>;

    async fn handle(&self, _: Peer, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        match request.uri().path() {
            "/slow" => self.release.notified().await,
            "/old" => sleep(Duration::from_mins(90)).await,
            _ => {}
        }
        let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
        Response::new(Full::new(length.to_string().into()))
    }
}

struct Server {
    address: SocketAddr,
    connections: HttpServer,
    service: BodyLengthService,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, service) = (HttpServer::new(), BodyLengthService::default());
        let serving = tokio::spawn({
            let (connections, service) = (connections.clone(), service.clone());
            async move { connections.serve(LIMITS, vec![listener], service).await }
        });
        Self { address, connections, service, serving }
    }

    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Connects and sends `first` in pieces of `size` bytes.
    async fn send_in_pieces(&self, first: &[u8], size: usize) -> TcpStream {
        let mut stream = self.connect().await;
        for piece in first.chunks(size) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream
    }

    async fn http2(&self) -> (http2::SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
        let io = TokioIo::new(self.connect().await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        (sender, tokio::spawn(connection))
    }

    async fn wait_for_connections(&self, count: usize) {
        while self.connections.open_connections() != count {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

fn request(path: &str) -> Request<Full<Bytes>> {
    let uri = format!("http://t{path}");
    Request::post(uri).body(Full::new(Bytes::from_static(b"hi"))).unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Reads until the server closes the connection.
async fn read_all(mut stream: TcpStream) -> String {
    let mut read = String::new();
    // A reset ends the connection as well.
    let _ = stream.read_to_string(&mut read).await;
    read
}

#[tokio::test]
async fn http_1_and_http_2_are_served_on_one_port() {
    let server = Server::start().await;

    let (mut http2, _connection) = server.http2().await;
    let http1 = server.send_in_pieces(HTTP1_REQUEST, usize::MAX).await;

    assert_eq!(text(http2.send_request(request("/")).await.unwrap()).await, "2");
    let mut answer = [0; 15];
    { http1 }.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_request_is_read_however_its_first_bytes_are_split() {
    let server = Server::start().await;
    let get = b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    // "P" and "PR" may be the start of a preface.
    let put = b"PUT / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0, 0, 0, 4, 0, 0, 0, 0, 0]];

    for first in [get, put] {
        let answer = read_all(server.send_in_pieces(first, 1).await).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    let mut http2 = server.send_in_pieces(&preface.concat(), 1).await;
    let mut header = [0; 9];
    http2.read_exact(&mut header).await.unwrap();
    assert_eq!(header[3], 4, "the first frame of a server is SETTINGS");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_no_request_is_disconnected_after_10_s() {
    let server = Server::start().await;
    for first in [&b""[..], b"P", b"PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        let started = Instant::now();

        let answer = read_all(server.send_in_pieces(first, usize::MAX).await).await;

        assert_eq!(answer, "");
        let waited = started.elapsed();
        assert!((10..12).contains(&waited.as_secs()), "{first:?}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_an_incomplete_head_or_no_further_request_is_disconnected_after_75_s() {
    let server = Server::start().await;
    for (first, answered) in [(&HTTP1_REQUEST[..20], false), (HTTP1_REQUEST, true)] {
        let started = Instant::now();

        let answer = read_all(server.send_in_pieces(first, usize::MAX).await).await;

        assert_eq!(answer.starts_with("HTTP/1.1 200 OK"), answered, "{answer}");
        let waited = started.elapsed();
        assert!((75..80).contains(&waited.as_secs()), "{waited:?}");
    }
}

#[tokio::test]
async fn a_peer_that_disconnects_before_its_first_request_is_not_counted() {
    let server = Server::start().await;
    for first in [&b""[..], b"PR", b"PRI"] {
        drop(server.send_in_pieces(first, usize::MAX).await);
    }
    let kept = server.send_in_pieces(HTTP1_REQUEST, usize::MAX).await;

    // Sooner than the timeout of a silent peer.
    timeout(Duration::from_secs(5), server.wait_for_connections(1)).await.unwrap();
    drop(kept);
    timeout(Duration::from_secs(20), server.connections.all_closed()).await.unwrap();
}

#[tokio::test]
async fn bytes_that_are_not_http_are_answered_with_400() {
    let server = Server::start().await;

    let answer =
        read_all(server.send_in_pieces(b"\x16\x03\x01 hello\r\n\r\n", usize::MAX).await).await;

    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_head_larger_than_allowed_is_answered_with_431() {
    let server = Server::start().await;
    let long = "x".repeat(17 << 10);

    let head = format!("GET / HTTP/1.1\r\nlong: {long}\r\n\r\n");
    let answer = read_all(server.send_in_pieces(head.as_bytes(), usize::MAX).await).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

    let (mut http2, _connection) = server.http2().await;
    let mut request = request("/");
    request.headers_mut().insert("long", long.parse().unwrap());
    let answer = http2.send_request(request).await;
    assert_eq!(answer.unwrap().status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

/// RFC 9110, 9.3.2: "the server MUST NOT send content in the response" to HEAD.
#[tokio::test]
async fn the_response_to_head_has_a_length_and_no_content() {
    let server = Server::start().await;
    let head = || {
        let mut request = request("/");
        *request.method_mut() = Method::HEAD;
        request
    };

    let (mut http2, _connection) = server.http2().await;
    let io = TokioIo::new(server.connect().await);
    let (mut http1, connection) = http1::handshake(io).await.unwrap();
    tokio::spawn(connection);

    for answer in [http2.send_request(head()).await, http1.send_request(head()).await] {
        let answer = answer.unwrap();
        assert_eq!(answer.headers()["content-length"], "1");
        assert_eq!(text(answer).await, "");
    }
}

#[tokio::test]
async fn more_connections_than_allowed_wait_while_all_others_are_in_use() {
    let server = Server::start().await;
    let mut open = vec![];
    for _ in 0..LIMITS.connections {
        let slow = b"GET /slow HTTP/1.1\r\nhost: t\r\n\r\n";
        open.push(server.send_in_pieces(slow, usize::MAX).await);
    }
    server.wait_for_connections(LIMITS.connections).await;
    sleep(SHORT_WAIT).await;
    let mut waiting = server.send_in_pieces(HTTP1_REQUEST, usize::MAX).await;
    let mut answer = [0; 15];
    assert!(timeout(SHORT_WAIT, waiting.read_exact(&mut answer)).await.is_err());

    open.pop();

    waiting.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn connections_without_a_request_give_their_places_to_new_ones() {
    let server = Server::start().await;
    let mut silent = vec![];
    for first in [&b""[..], b"GET", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"].iter().cycle().take(100) {
        silent.push(server.send_in_pieces(first, usize::MAX).await);
    }

    let mut new = server.send_in_pieces(HTTP1_REQUEST, usize::MAX).await;
    let mut answer = [0; 15];
    timeout(Duration::from_secs(5), new.read_exact(&mut answer)).await.unwrap().unwrap();

    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn waiting_for_all_connections_to_close_does_not_block_new_ones() {
    let server = Server::start().await;
    let kept = server.send_in_pieces(HTTP1_REQUEST, usize::MAX).await;
    server.wait_for_connections(1).await;
    let none_open = server.connections.all_closed();
    tokio::pin!(none_open);
    assert!(timeout(SHORT_WAIT, none_open.as_mut()).await.is_err());

    assert_eq!(server.connections.open_connections(), 1);
    let mut new = server.send_in_pieces(HTTP1_REQUEST, usize::MAX).await;
    let mut answer = [0; 15];
    timeout(Duration::from_secs(20), new.read_exact(&mut answer)).await.unwrap().unwrap();

    drop((kept, new));
    timeout(Duration::from_secs(20), none_open).await.unwrap();
}

#[tokio::test]
async fn at_shutdown_open_requests_are_answered_and_their_connections_closed() {
    let server = Server::start().await;
    let (mut http2, http2_connection) = server.http2().await;
    let slow2 = tokio::spawn(http2.clone().send_request(request("/slow")));
    let slow1 = server.send_in_pieces(b"GET /slow HTTP/1.1\r\nhost: t\r\n\r\n", usize::MAX).await;
    let idle1 = server.send_in_pieces(HTTP1_REQUEST, usize::MAX).await;
    let silent = server.connect().await;
    server.wait_for_connections(4).await;
    tokio::time::sleep(SHORT_WAIT).await;

    server.connections.shut_down();

    // Connections without an open request are closed at once.
    assert!(read_all(idle1).await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(read_all(silent).await, "");
    server.wait_for_connections(2).await;
    // After GOAWAY, no new request is accepted.
    while http2.send_request(request("/")).await.is_ok() {}
    assert!(!server.serving.is_finished());

    server.service.release.notify_waiters();

    assert_eq!(text(slow2.await.unwrap().unwrap()).await, "2");
    let slow1 = read_all(slow1).await;
    assert!(slow1.starts_with("HTTP/1.1 200 OK") && slow1.ends_with('0'), "{slow1}");
    http2_connection.await.unwrap().unwrap();
    server.serving.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "the port is closed");
}

/// JavaScript exporters send up to 30 requests at once, without waiting for the settings. Requests
/// refused because of the settings would be lost, since not every client retries them.
#[tokio::test]
async fn thirty_concurrent_requests_are_accepted_on_a_new_connection() {
    let server = Server::start().await;
    let (http2, _connection) = server.http2().await;
    let mut requests = JoinSet::new();
    for _ in 0..30 {
        requests.spawn(http2.clone().send_request(request("/slow")));
    }

    let mut answered = 0;
    while !requests.is_empty() {
        server.service.release.notify_waiters();
        while let Ok(Some(answer)) = timeout(SHORT_WAIT, requests.join_next()).await {
            assert_eq!(answer.unwrap().unwrap().status(), StatusCode::OK);
            answered += 1;
        }
    }

    assert_eq!(answered, 30);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_closed_after_its_request() {
    let server = Server::start().await;

    let young = server.send_in_pieces(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n", usize::MAX).await;
    let old = server.send_in_pieces(b"GET /old HTTP/1.1\r\nhost: t\r\n\r\n", usize::MAX).await;

    let (young, old) = (read_all(young).await, read_all(old).await);
    assert!(young.starts_with("HTTP/1.1 200 OK") && !young.contains("connection: close"));
    assert!(old.starts_with("HTTP/1.1 200 OK") && old.contains("connection: close"), "{old}");
}
