//! HTTP's own rules: how a request may arrive, and how it is answered.
//!
//! HTTP/1.1 from raw bytes, HTTP/2 where it has the rule too, each on both ports.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::client::{
    ALL_PROTOCOLS, HTTP_PROTOCOLS, PROTOBUF_CONTENT_TYPE, ResponseKind, receiver_endpoints,
};
use crate::support::receiver::ReceiverProcess;
use crate::support::samples::{sized, spans};

const TIMEOUT: Duration = Duration::from_secs(20);
const OK: &str = "HTTP/1.1 200 OK\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// RFC 9112, 7.1: "A recipient MUST be able to parse and decode the chunked transfer coding."
#[tokio::test]
async fn a_chunked_body_is_accepted() {
    let body = spans(&["a"]);
    let (first, second) = body.split_at(9);
    let chunked = [
        b"9;extension=1\r\n",
        first,
        format!("\r\n{:x}\r\n", second.len()).as_bytes(),
        second,
        b"\r\n0\r\ntrailer: 1\r\n\r\n",
    ]
    .concat();

    let (_receiver, ports) = ports().await;
    for port in ports {
        let answer = send_then_read(
            port,
            &[&head("connection: close\r\ntransfer-encoding: chunked"), &chunked],
        )
        .await;

        assert!(answer.starts_with(OK), "{answer}");
    }
}

/// RFC 9112, 6.3: "If this is a request message and none of the above are true, then the message
/// body length is zero". RFC 9113, 8.1.1: Content-Length is optional.
#[tokio::test]
async fn a_request_without_a_length_is_accepted() {
    let (receiver, ports) = ports().await;
    for port in ports {
        let answer = send_then_read(port, &[&head("connection: close")]).await;
        assert!(answer.starts_with(OK), "{answer}");
    }

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        // A body of unknown length: chunked in HTTP/1.1, without Content-Length in HTTP/2.
        let unknown = endpoint.request(spans(&["a"])).map(|body| body.map_frame(|frame| frame));

        assert_eq!(
            endpoint.send(unknown).await.success_message().partial_success,
            None,
            "{endpoint:?}"
        );
    }
}

/// RFC 9110, 10.1.1: on a request with a 100-continue expectation "an origin server MUST send either
/// […] or an immediate 100 (Continue) response to encourage the client to send the request content."
/// Curl sends this expectation with every large request.
#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it() {
    let body = spans(&["a"]);
    let (_receiver, ports) = ports().await;
    for port in ports {
        let mut stream = TcpStream::connect(port).await.unwrap();
        let head = head(&format!("expect: 100-continue\r\ncontent-length: {}", body.len()));
        stream.write_all(&head).await.unwrap();
        let mut interim = vec![0; CONTINUE.len()];
        timeout(TIMEOUT, stream.read_exact(&mut interim)).await.unwrap().unwrap();
        assert_eq!(interim, CONTINUE.as_bytes());

        stream.write_all(&body).await.unwrap();

        let mut answer = vec![0; OK.len()];
        timeout(TIMEOUT, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, OK.as_bytes());
    }
}

/// RFC 9110, 10.1.1: or "an immediate response with a final status code, if that status can be
/// determined by examining just the method, target URI, and header section"; "A server that responds
/// with a final status code instead of reading the entire request content SHOULD indicate whether it
/// intends to close the connection".
#[tokio::test]
async fn a_client_that_expects_100_continue_is_refused_before_it_sends() {
    let (_receiver, ports) = ports().await;
    for port in ports {
        for (headers, path, status) in [
            ("content-length: 5000000", "/v1/traces", 413),
            ("content-length: 5000000\r\ncontent-encoding: gzip", "/v1/traces", 413),
            ("content-length: 5", "/v1/metrics", 404),
            ("content-length: 5\r\ncontent-encoding: br", "/v1/traces", 415),
        ] {
            let head = head_for(path, &format!("expect: 100-continue\r\n{headers}"));

            let answer = head_of_answer(port, &head).await;

            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            assert!(!answer.contains(CONTINUE), "{answer}");
        }
    }
}

/// OTLP, OTLP/HTTP Request: "If the limit is exceeded, the server MUST respond with `HTTP 413
/// Content Too Large`", also to a client that reads nothing until it has sent everything: the
/// response must not be lost to a reset of the connection.
#[tokio::test]
async fn a_client_that_sends_everything_first_gets_its_413_and_keeps_its_connection() {
    let length = 9 << 20;
    let body = sized(length);
    let announced = [head(&format!("content-length: {length}")), body.to_vec()].concat();
    let chunk = [format!("{length:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    let chunked = [head("transfer-encoding: chunked"), chunk].concat();
    let next = head("connection: close");

    let (_receiver, ports) = ports().await;
    for port in ports {
        for request in [&announced, &chunked] {
            let answer = send_then_read(port, &[request, &next]).await;

            assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
            assert!(answer.contains(OK), "the next request was not answered: {answer}");
        }
    }
}

/// RFC 9112, 2.1 and RFC 9113, 4: a message is a sequence of octets, however the network splits it.
#[tokio::test]
async fn a_request_that_arrives_in_single_bytes_is_accepted() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        let stream = TcpStream::connect(endpoint.address).await.unwrap();
        stream.set_nodelay(true).unwrap();

        let mut connection = endpoint.connect_over(Dribble(stream)).await;
        let answer = connection.send(endpoint.request(spans(&["a", "b"]))).await;

        assert_eq!(answer.success_message().partial_success, None, "{endpoint:?}");
    }
    assert_eq!(receiver.metrics().await.accepted_spans(), 12);
}

/// OTLP, OTLP/HTTP Connection: "The client SHOULD keep the connection alive between requests", which
/// requires the server to keep it alive (RFC 9112, 9.3: "HTTP/1.1 defaults to the use of
/// "persistent connections""), after refusals as well.
#[tokio::test]
async fn a_connection_serves_one_request_after_another_even_after_refusals() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        let mut connection = endpoint.connect().await;
        for _ in 0..3 {
            let accepted = connection.send(endpoint.request(spans(&["a"]))).await;
            assert_eq!(accepted.kind(), ResponseKind::Accepted, "{endpoint:?}");
            let refused = connection.send(endpoint.request("\u{7f}")).await;
            assert_eq!(refused.kind(), ResponseKind::Malformed, "{endpoint:?}");
        }
    }
}

/// RFC 9112, 9.3.2: "A client that supports persistent connections MAY "pipeline" its requests";
/// the server "MUST send the corresponding responses in the same order that the requests were
/// received".
#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let body = spans(&["a"]);
    let accepted = [head(&format!("content-length: {}", body.len())), body.to_vec()].concat();
    let nowhere = head_for("/nowhere", "content-length: 0");
    let last = head("connection: close");

    let (_receiver, ports) = ports().await;
    for port in ports {
        let answer = send_then_read(port, &[&accepted, &nowhere, &accepted, &last]).await;

        let statuses: Vec<_> =
            answer.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        assert_eq!(statuses, ["200", "404", "200", "200"], "{answer}");
    }
}

/// RFC 9110, 7.8: "A server MAY ignore a received Upgrade header field". Java's HTTP client asks for
/// HTTP/2 in this way.
#[tokio::test]
async fn a_request_to_upgrade_is_ignored() {
    let upgrade = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk";

    let (_receiver, ports) = ports().await;
    for port in ports {
        let answer = send_then_read(port, &[&head(upgrade), &head("connection: close")]).await;

        assert_eq!(answer.matches(OK).count(), 2, "{answer}");
    }
}

/// RFC 9112, 3.2.2: "a server MUST accept the absolute-form in requests". An HTTP/1.0 client
/// gets its response, and the connection is closed.
#[tokio::test]
async fn absolute_targets_and_http_1_0_are_accepted() {
    let absolute = head_for("http://localhost:4318/v1/traces", "connection: close");
    let old = format!("POST /v1/traces HTTP/1.0\r\ncontent-type: {PROTOBUF_CONTENT_TYPE}\r\n\r\n");

    let (_receiver, ports) = ports().await;
    for port in ports {
        assert!(send_then_read(port, &[&absolute]).await.starts_with(OK));
        assert!(send_then_read(port, &[old.as_bytes()]).await.starts_with("HTTP/1.0 200 OK\r\n"));
    }
}

/// RFC 9110, 6.6.1: "An origin server with a clock […] MUST generate a Date header field in all 2xx
/// (Successful), 3xx (Redirection), and 4xx (Client Error) responses".
#[tokio::test]
async fn every_response_has_a_date() {
    let receiver = ReceiverProcess::start(&[]).await;

    for endpoint in receiver_endpoints(&receiver, ALL_PROTOCOLS) {
        for message in [spans(&["a"]), "\u{7f}".into()] {
            let answer = endpoint.export(message).await;

            assert!(answer.header("date").ends_with(" GMT"), "{answer:?}");
        }
    }
}

/// RFC 9110, 15.5: an incomplete request changes nothing.
#[tokio::test]
async fn an_incomplete_request_is_not_accepted() {
    let (receiver, ports) = ports().await;
    let body = spans(&["a"]);
    let head = head(&format!("content-length: {}", body.len() + 1));

    for port in ports {
        let mut stream = TcpStream::connect(port).await.unwrap();
        stream.write_all(&[head.clone(), body.to_vec()].concat()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // The server may respond or reset the connection.
        let _ = timeout(TIMEOUT, stream.read_to_end(&mut answer)).await.unwrap();
        assert!(!answer.starts_with(OK.as_bytes()));
    }

    let http = receiver_endpoints(&receiver, HTTP_PROTOCOLS)[0].export(spans(&["b"])).await;
    assert_eq!(http.kind(), ResponseKind::Accepted);
    assert_eq!(receiver.metrics().await.accepted_spans(), 1);
}

/// A receiver and its ports.
async fn ports() -> (ReceiverProcess, [SocketAddr; 2]) {
    let receiver = ReceiverProcess::start(&[]).await;
    let ports = [receiver.grpc(), receiver.http()];
    (receiver, ports)
}

/// The head of a request for traces.
fn head(headers: &str) -> Vec<u8> {
    head_for("/v1/traces", headers)
}

fn head_for(target: &str, headers: &str) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nhost: t\r\ncontent-type: {PROTOBUF_CONTENT_TYPE}\r\n{headers}\r\n\r\n")
        .into_bytes()
}

/// Sends all of `parts`, and only then reads, until the receiver closes the connection.
async fn send_then_read(port: SocketAddr, parts: &[&[u8]]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(port).await?;
        stream.write_all(&parts.concat()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = timeout(TIMEOUT, exchange).await.expect("an answer in time");
    String::from_utf8_lossy(&answer.expect("an answer and no reset")).into_owned()
}

/// Sends `request` and reads the head of the answer.
async fn head_of_answer(port: SocketAddr, request: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(port).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await?);
        }
        Ok::<_, io::Error>(answer)
    };
    let answer = timeout(TIMEOUT, exchange).await.expect("an answer in time");
    String::from_utf8(answer.expect("an answer and no reset")).expect("a head is text")
}

/// Sends one byte at a time.
struct Dribble(TcpStream);

impl AsyncWrite for Dribble {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl AsyncRead for Dribble {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}
