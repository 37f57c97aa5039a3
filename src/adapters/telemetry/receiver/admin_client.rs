//! Client of the admin port of a receiver on this machine.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::admin::FLUSH_PATH;
use crate::adapters::server::loopback_if_unspecified;

/// Maximum bytes of a response.
const MAX_RESPONSE_BYTES: usize = 4 * 1024;

/// Asks the first receiver that accepts the request at one of `addresses` to flush, and returns the
/// text of its response. Gives up after `max_wait`.
///
/// An unspecified address (`0.0.0.0`, `::`) is reached over loopback.
///
/// # Errors
///
/// Why the request failed, per address, for people.
pub async fn flush(addresses: &[SocketAddr], max_wait: Duration) -> Result<String, String> {
    let attempts = async {
        let mut failures = Vec::new();
        for address in addresses.iter().copied().map(loopback_if_unspecified) {
            match post(address, FLUSH_PATH).await {
                Ok(body) => return Ok(body),
                Err(error) => failures.push(format!("{address}: {error}")),
            }
        }
        Err(failures.join("; "))
    };
    let timed_out = || Err(format!("no response within {} ms", max_wait.as_millis()));
    timeout(max_wait, attempts).await.unwrap_or_else(|_| timed_out())
}

async fn post(address: SocketAddr, path: &str) -> io::Result<String> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
    let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await.map_err(io::Error::other)?;
    let body = String::from_utf8_lossy(&body.to_bytes()).trim().to_owned();
    if head.status.is_success() {
        return Ok(body);
    }
    Err(io::Error::other(format!("{}: {body}", head.status)))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Starts a server that responds to one request with `answer`; returns its address.
    async fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"POST /flush HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        address
    }

    async fn closed() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn the_first_address_that_responds_is_used() {
        let here = answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ndone.\n").await;

        let message = flush(&[closed().await, here], PATIENCE).await;

        assert_eq!(message, Ok("done.".to_owned()));
    }

    #[tokio::test]
    async fn a_refusal_is_reported_with_its_reason() {
        let here = answering("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;

        let failure = flush(&[here], PATIENCE).await.unwrap_err();

        assert_eq!(failure, format!("{here}: 403 Forbidden: no"));
    }

    #[tokio::test]
    async fn an_unreachable_server_is_reported_with_its_address() {
        let nowhere = closed().await;

        let failure = flush(&[nowhere], PATIENCE).await.unwrap_err();

        assert!(failure.starts_with(&format!("{nowhere}: ")), "{failure}");
    }

    #[tokio::test]
    async fn a_server_that_never_responds_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let started = Instant::now();

        let max_wait = Duration::from_millis(50);
        let failure = flush(&[listener.local_addr().unwrap()], max_wait).await.unwrap_err();

        assert_eq!(failure, "no response within 50 ms");
        assert!(started.elapsed() < PATIENCE);
    }

    #[test]
    fn every_local_address_is_requested_over_loopback() {
        let asked = |text: &str| loopback_if_unspecified(text.parse().unwrap()).to_string();

        assert_eq!(asked("0.0.0.0:9417"), "127.0.0.1:9417");
        assert_eq!(asked("[::]:9417"), "[::1]:9417");
        assert_eq!(asked("10.0.0.7:9417"), "10.0.0.7:9417");
    }
}
