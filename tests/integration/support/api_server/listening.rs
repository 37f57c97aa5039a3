//! The same server on a port, for other processes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::handle::handle;
use super::{ApiServer, Inner};

impl ApiServer {
    /// Listens, and writes a kubeconfig for this server into `folder`; its namespace is `default`.
    pub(crate) async fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let path = folder.join("kubeconfig");
        std::fs::write(&path, kubeconfig(self.listen(None).await)).unwrap();
        path
    }

    /// Listens on a free port of 127.0.0.1, for HTTP/1.1, as long as the runtime lives.
    pub(crate) async fn listen(&self, tls: Option<ServerConfig>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::clone(&self.inner);
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (inner, tls) = (Arc::clone(&inner), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(inner, stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(inner, stream).await;
                            }
                        }
                    }
                });
            }
        });
        address
    }
}

async fn serve(inner: Arc<Inner>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|request: Request<Incoming>| {
        let inner = Arc::clone(&inner);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            handle(inner, Request::from_parts(head, Body::from(body.to_vec()))).await
        }
    });
    // Both a disconnected client and a scripted fault end the connection.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// Returns a kubeconfig for `server` without TLS and credentials.
pub(crate) fn kubeconfig(server: SocketAddr) -> String {
    format!(
        "\
apiVersion: v1
kind: Config
current-context: test
clusters: [{{name: test, cluster: {{server: 'http://{server}'}}}}]
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
users: [{{name: test, user: {{}}}}]
"
    )
}
