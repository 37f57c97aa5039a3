//! An HTTP proxy that opens connections by CONNECT.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What the proxy does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ProxyAnswer {
    /// Connects to this address, whatever the request names.
    Connect(SocketAddr),
    /// Sends this text and closes the connection.
    Refuse(&'static str),
    /// Reads the request and never answers.
    Hang,
    /// Closes the connection without an answer.
    Close,
}

/// The proxy. Stops when dropped.
pub(crate) struct ConnectProxy {
    address: SocketAddr,
    answer: Arc<Mutex<ProxyAnswer>>,
    requests: Arc<Mutex<Vec<String>>>,
    /// The number of times that open connections were frozen.
    frozen: watch::Sender<usize>,
    accepting: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    answer: Arc<Mutex<ProxyAnswer>>,
    requests: Arc<Mutex<Vec<String>>>,
    frozen: watch::Receiver<usize>,
}

impl ConnectProxy {
    pub(crate) async fn start(answer: ProxyAnswer) -> Self {
        Self::start_with(answer, None).await
    }

    /// A proxy to which the connection itself is encrypted.
    pub(crate) async fn start_tls(answer: ProxyAnswer, config: ServerConfig) -> Self {
        Self::start_with(answer, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(answer: ProxyAnswer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let answer = Arc::new(Mutex::new(answer));
        let frozen = watch::Sender::new(0);
        let shared = Shared {
            answer: Arc::clone(&answer),
            requests: Arc::clone(&requests),
            frozen: frozen.subscribe(),
        };
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (shared.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => shared.serve(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                shared.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, answer, requests, frozen, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }

    /// Changes the answer to later requests.
    pub(crate) fn set_answer(&self, answer: ProxyAnswer) {
        *self.answer.lock() = answer;
    }

    /// Stops forwarding on all open connections, which stay open.
    pub(crate) fn freeze(&self) {
        self.frozen.send_modify(|times| *times += 1);
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    async fn serve(mut self, mut client: impl AsyncRead + AsyncWrite + Unpin) {
        self.frozen.mark_unchanged();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = client.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        self.requests.lock().push(head);
        let answer = *self.answer.lock();
        let server = match answer {
            ProxyAnswer::Close => return,
            ProxyAnswer::Hang => return std::future::pending().await,
            ProxyAnswer::Refuse(answer) => {
                // The client may be gone.
                let _ = client.write_all(answer.as_bytes()).await;
                return;
            }
            ProxyAnswer::Connect(address) => TcpStream::connect(address).await,
        };
        let Ok(mut server) = server else { return };
        if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_err() {
            return;
        }
        tokio::select! {
            // Either side may end in any way.
            _ = copy_bidirectional(&mut client, &mut server) => {}
            Ok(()) = self.frozen.changed() => std::future::pending().await,
        }
    }
}
