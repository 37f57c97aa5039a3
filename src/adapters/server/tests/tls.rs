use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::slice::from_ref;

use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use rcgen::{CertifiedKey as Issued, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// The certificate that is currently served.
#[derive(Debug)]
struct SwappableCertificate(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for SwappableCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock()))
    }
}

/// A certificate for `localhost`, and the same as the only trusted one.
fn certificate() -> (Arc<CertifiedKey>, CertificateDer<'static>) {
    let Issued { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let key = CertifiedKey::from_der(vec![cert.der().clone()], key, &provider).unwrap();
    (Arc::new(key), cert.der().clone())
}

fn client(
    trusted: &[CertificateDer<'static>],
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|each| each.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

struct Server {
    address: SocketAddr,
    connections: HttpServer,
    service: BodyLengthService,
    serving: JoinHandle<()>,
    served: Arc<SwappableCertificate>,
    trusted: CertificateDer<'static>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, service) = (HttpServer::new(), BodyLengthService::default());
        let (key, trusted) = certificate();
        let served = Arc::new(SwappableCertificate(Mutex::new(key)));
        let tls = Tls::new(Arc::clone(&served) as Arc<_>).unwrap();
        let serving = tokio::spawn({
            let (connections, service) = (connections.clone(), service.clone());
            async move { connections.serve_tls(LIMITS, vec![listener], tls, service).await }
        });
        Self { address, connections, service, serving, served, trusted }
    }

    /// Replaces the served certificate.
    fn rotate(&mut self) {
        let (key, trusted) = certificate();
        *self.served.0.lock() = key;
        self.trusted = trusted;
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect(&self, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        self.connect_in(rustls::DEFAULT_VERSIONS, protocols).await.unwrap()
    }

    async fn connect_in(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&[u8]],
    ) -> io::Result<TlsStream<TcpStream>> {
        self.connect_as(&client(from_ref(&self.trusted), versions, protocols)).await
    }

    async fn connect_as(&self, client: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        client.connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// Sends a request on a new connection and reads its response.
    async fn get(&self, client: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
        let mut stream = self.connect_as(client).await?;
        stream.write_all(HTTP1_REQUEST).await?;
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        Ok(stream)
    }

    async fn http2(&self) -> http2::SendRequest<Full<Bytes>> {
        let io = TokioIo::new(self.connect(&[b"h2", b"http/1.1"]).await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn http1(&self) -> http1::SendRequest<Full<Bytes>> {
        let io = TokioIo::new(self.connect(&[b"http/1.1"]).await);
        let (sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn wait_for_connections(&self, count: usize) {
        while self.connections.open_connections() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Reads until the server closes the connection.
async fn read_all(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut read = vec![];
    // A reset ends the connection as well.
    let _ = stream.read_to_end(&mut read).await;
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn http_2_and_http_1_are_chosen_by_alpn() {
    let server = Server::start().await;

    let by_http2 = server.http2().await.send_request(request("/")).await.unwrap();
    let by_http1 = server.http1().await.send_request(request("/")).await.unwrap();

    assert_eq!(by_http2.version(), http::Version::HTTP_2);
    assert_eq!(text(by_http2).await, "2");
    assert_eq!(by_http1.version(), http::Version::HTTP_11);
    assert_eq!(text(by_http1).await, "2");
}

#[tokio::test]
async fn a_client_without_alpn_speaks_http_1_in_both_versions_of_tls() {
    let server = Server::start().await;
    for version in rustls::ALL_VERSIONS {
        let client = client(from_ref(&server.trusted), &[version], &[]);

        let stream = server.get(&client).await.unwrap();

        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
    }
    assert_eq!(rustls::ALL_VERSIONS.len(), 2);
}

#[tokio::test]
async fn an_unsupported_protocol_is_refused_in_the_handshake() {
    let server = Server::start().await;

    let refused = server.connect_in(rustls::DEFAULT_VERSIONS, &[b"spdy/3"]).await;

    assert!(refused.unwrap_err().to_string().contains("NoApplicationProtocol"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_finish_its_handshake_is_disconnected_after_10_s() {
    let server = Server::start().await;
    // Nothing, a part of a record's header, and a record that does not end.
    for first in [&b""[..], b"\x16\x03", b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03"] {
        let mut stream = server.tcp().await;
        stream.write_all(first).await.unwrap();
        let started = Instant::now();

        assert_eq!(read_all(stream).await, "");

        let waited = started.elapsed();
        assert!((10..12).contains(&waited.as_secs()), "{first:?}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_request_after_its_handshake_is_disconnected() {
    let server = Server::start().await;
    for (protocol, first, seconds) in [
        (&b"h2"[..], &b""[..], 10..12),
        (b"h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", 10..12),
        (b"http/1.1", b"", 75..80),
        (b"http/1.1", b"GET /", 75..80),
    ] {
        let mut stream = server.connect(&[protocol]).await;
        stream.write_all(first).await.unwrap();
        let started = Instant::now();

        assert_eq!(read_all(stream).await, "");

        let waited = started.elapsed();
        assert!(seconds.contains(&waited.as_secs()), "{first:?}: {waited:?}");
    }
}

#[tokio::test]
async fn plain_http_gets_a_response_that_names_https() {
    let server = Server::start().await;
    let long = [HTTP1_REQUEST, &[b'x'; 4_000]].concat();
    for first in [HTTP1_REQUEST, &long, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = server.tcp().await;
        stream.write_all(first).await.unwrap();

        let mut answer = vec![];
        let mut buffer = [0; 512];
        // The server may close the connection right after the response.
        while !answer.ends_with(b"HTTPS only\n") {
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 400 "));
    }
    server.wait_for_connections(0).await;
}

#[tokio::test]
async fn a_connection_survives_a_new_certificate_which_only_new_connections_get() {
    let mut server = Server::start().await;
    let (mut http1, mut http2) = (server.http1().await, server.http2().await);
    http1.send_request(request("/")).await.unwrap();
    http2.send_request(request("/")).await.unwrap();

    server.rotate();

    assert_eq!(text(http1.send_request(request("/")).await.unwrap()).await, "2");
    assert_eq!(text(http2.send_request(request("/")).await.unwrap()).await, "2");
    assert_eq!(text(server.http2().await.send_request(request("/")).await.unwrap()).await, "2");
}

/// A client that resumes its session would keep the old certificate.
#[tokio::test]
async fn no_session_is_resumed() {
    let server = Server::start().await;
    for version in rustls::ALL_VERSIONS {
        let client = client(from_ref(&server.trusted), &[version], &[]);
        for _ in 0..3 {
            let stream = server.get(&client).await.unwrap();
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Full), "{version:?}");
        }
    }
}

#[tokio::test]
async fn every_one_of_many_handshakes_succeeds_while_the_certificate_rotates() {
    let server = Server::start().await;
    let (keys, mut trusted): (Vec<_>, Vec<_>) = (0..20).map(|_| certificate()).unzip();
    trusted.push(server.trusted.clone());
    let client = client(&trusted, rustls::DEFAULT_VERSIONS, &[]);
    let server = Arc::new(server);
    let mut observed = BTreeSet::new();

    for key in keys {
        let mut handshakes = JoinSet::new();
        for _ in 0..5 {
            let (server, client) = (Arc::clone(&server), client.clone());
            handshakes.spawn(async move { server.get(&client).await.unwrap() });
        }
        tokio::task::yield_now().await;
        *server.served.0.lock() = key;
        for stream in handshakes.join_all().await {
            observed.insert(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec());
        }
    }

    // Handshakes in progress got the old or the new certificate.
    assert!(observed.len() >= 10, "only {} certificates were served", observed.len());
}

#[tokio::test]
async fn at_shutdown_open_requests_are_answered_and_handshakes_are_aborted() {
    let server = Server::start().await;
    let mut http2 = server.http2().await;
    let slow = tokio::spawn(http2.clone().send_request(request("/slow")));
    let silent = server.tcp().await;
    server.wait_for_connections(2).await;
    tokio::time::sleep(SHORT_WAIT).await;

    server.connections.shut_down();

    assert_eq!(read_all(silent).await, "");
    // After GOAWAY, no new request is accepted.
    while http2.send_request(request("/")).await.is_ok() {}
    assert!(!server.serving.is_finished());
    server.service.release.notify_waiters();
    assert_eq!(text(slow.await.unwrap().unwrap()).await, "2");
    server.serving.await.unwrap();
}

#[tokio::test]
async fn handshakes_that_do_not_end_give_their_places_to_new_connections() {
    let server = Server::start().await;
    let mut silent = vec![];
    for _ in 0..LIMITS.connections {
        silent.push(server.tcp().await);
    }
    server.wait_for_connections(LIMITS.connections).await;
    let client = client(from_ref(&server.trusted), rustls::DEFAULT_VERSIONS, &[]);

    timeout(Duration::from_secs(5), server.get(&client)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_keeps_serving_during_the_shutdown_delay_and_then_closes_connections() {
    let server = Server::start().await;
    let client = client(from_ref(&server.trusted), rustls::DEFAULT_VERSIONS, &[]);
    let slow = tokio::spawn(server.http2().await.send_request(request("/slow")));
    server.wait_for_connections(1).await;
    tokio::time::sleep(SHORT_WAIT).await;
    let ending = tokio::spawn({
        let connections = server.connections.clone();
        async move {
            connections.shut_down_gracefully(Duration::from_secs(1), Duration::from_secs(20)).await;
        }
    });
    tokio::time::sleep(SHORT_WAIT).await;

    let late = server.get(&client).await.unwrap();

    // The idle connection is closed at once; the open request may still complete.
    read_all(late).await;
    assert!(server.get(&client).await.is_err());
    assert!(!ending.is_finished());
    server.service.release.notify_waiters();
    assert_eq!(text(slow.await.unwrap().unwrap()).await, "2");
    ending.await.unwrap();
}

#[tokio::test]
async fn a_server_waits_for_open_requests_only_until_its_deadline() {
    let server = Server::start().await;
    let _slow = tokio::spawn(server.http2().await.send_request(request("/slow")));
    server.wait_for_connections(1).await;
    tokio::time::sleep(SHORT_WAIT).await;

    let ended = server.connections.shut_down_gracefully(Duration::ZERO, SHORT_WAIT);

    timeout(Duration::from_secs(5), ended).await.unwrap();
}

#[tokio::test]
async fn the_probe_succeeds_only_while_the_port_is_open_and_has_a_certificate() {
    let server = Server::start().await;
    let probe = Arc::new(TlsProbe::new(server.address).unwrap());
    assert!(!probe.is_healthy(), "no attempt was made yet");
    let probing = tokio::spawn({
        let probe = Arc::clone(&probe);
        async move { probe.run().await }
    });

    while !probe.is_healthy() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    server.connections.shut_down();
    server.serving.await.unwrap();
    // The listener is closed, so only the timeout can end the wait.
    tokio::time::pause();
    timeout(Duration::from_secs(20), async {
        while probe.is_healthy() {
            tokio::time::sleep(SHORT_WAIT).await;
        }
    })
    .await
    .unwrap();
    probing.abort();
}

#[tokio::test]
async fn the_probe_fails_without_tls_or_without_a_certificate() {
    #[derive(Debug)]
    struct NoCertificate;
    impl ResolvesServerCert for NoCertificate {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            None
        }
    }
    for tls in [None, Some(Tls::new(Arc::new(NoCertificate)).unwrap())] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = TlsProbe::new(listener.local_addr().unwrap()).unwrap();
        tokio::spawn(async move {
            let (connections, service) = (HttpServer::new(), BodyLengthService::default());
            match tls {
                Some(tls) => connections.serve_tls(LIMITS, vec![listener], tls, service).await,
                None => connections.serve(LIMITS, vec![listener], service).await,
            }
        });

        assert!(timeout(10 * SHORT_WAIT, probe.run()).await.is_err());

        assert!(!probe.is_healthy());
    }
}

#[tokio::test]
async fn the_probe_of_an_unspecified_address_uses_loopback() {
    let server = Server::start().await;
    let everywhere = SocketAddr::new("0.0.0.0".parse().unwrap(), server.address.port());
    let probe = TlsProbe::new(everywhere).unwrap();

    assert!(timeout(10 * SHORT_WAIT, probe.run()).await.is_err());

    assert!(probe.is_healthy());
}
