//! The connections to a destination: opened on demand, reused, replaced.

use std::sync::Arc;

use http::Response;
use http::response::Parts;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::timeout_at;

use super::config::DestinationSettings;
use super::connector::{Connector, Deadline};
use super::failure::SendStage;
use super::http_connection::{Http1, Http2, HttpRequest};
use super::http_connection_error::HttpConnectionError;
use super::tls::TlsFileVersions;
use crate::domain::delivery::Failure;

/// Sends requests over pooled connections: a single shared one over HTTP/2, one per concurrent
/// request over HTTP/1.1.
#[derive(Debug)]
pub(super) struct ConnectionPool {
    connector: Connector,
    state: Mutex<PoolState>,
    /// Held while connecting, so that concurrent sends share the HTTP/2 connection that one of them
    /// opens.
    connecting: tokio::sync::Mutex<()>,
}

/// Connections for later requests. At most as many are idle as were ever in use concurrently.
#[derive(Debug, Default)]
struct PoolState {
    /// Versions of the certificate files that the connections were opened with.
    file_versions: TlsFileVersions,
    http2: Option<Arc<Http2>>,
    idle_http1: Vec<Http1>,
}

/// A response whose body is still to be read, and its connection.
#[derive(Debug)]
pub(super) struct StreamingResponse<'a> {
    response: Response<Incoming>,
    connection: PooledConnection<'a>,
}

/// A connection in use.
///
/// If it is dropped without [`PooledConnection::release`], it is not reused, since a request on it
/// may be unfinished; closing it also frees what it still holds of that request.
#[derive(Debug)]
pub(super) struct PooledConnection<'a> {
    pool: &'a ConnectionPool,
    connection: HttpConnection<'a>,
    file_versions: TlsFileVersions,
    /// Whether an earlier request used the connection.
    reused: bool,
}

#[derive(Debug)]
enum HttpConnection<'a> {
    Http2(Http2Guard<'a>),
    Http1(Http1),
}

/// Use of the shared HTTP/2 connection; removes it from the pool if dropped without release.
#[derive(Debug)]
struct Http2Guard<'a> {
    pool: &'a ConnectionPool,
    connection: Arc<Http2>,
    released: bool,
}

impl ConnectionPool {
    pub(super) fn new(settings: &DestinationSettings) -> Self {
        Self {
            connector: Connector::new(settings),
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Sends `request` over `connection` and waits for the head of the response, without a timeout.
    ///
    /// `deadline` bounds reconnecting if the pooled connection turns out to be closed.
    pub(super) async fn send_request<'a>(
        &'a self,
        mut connection: PooledConnection<'a>,
        request: HttpRequest,
        deadline: Deadline,
    ) -> Result<StreamingResponse<'a>, Failure> {
        let mut sent = connection.send(request.clone()).await;
        if connection.reused && sent.as_ref().is_err_and(HttpConnectionError::is_stale_connection) {
            drop(connection);
            self.clear();
            connection = self.acquire(deadline).await?;
            sent = connection.send(request).await;
        }
        match sent {
            Ok(response) => Ok(StreamingResponse { response, connection }),
            Err(error) => Err(self.connection_failure(&error, connection.reused)),
        }
    }

    /// Converts an error of an open connection into a failure; `proven` is whether the peer has
    /// responded on that connection before.
    pub(super) fn connection_failure(&self, error: &HttpConnectionError, proven: bool) -> Failure {
        let stage = error.stage(self.connector.endpoint().tls);
        let hint = match stage {
            SendStage::Response => self.connector.wrong_port_hint(),
            SendStage::Reset if !proven => self.connector.wrong_port_hint(),
            _ => "",
        };
        self.connector.failure(stage, &format!("{}{hint}", error.error_chain()))
    }

    /// Returns a pooled connection, or opens one. Fails at `deadline`, naming the step it was
    /// waiting for.
    pub(super) async fn acquire(
        &self,
        deadline: Deadline,
    ) -> Result<PooledConnection<'_>, Failure> {
        let files = self.connector.file_versions().await?;
        if let Some(connection) = self.acquire_pooled(files) {
            return Ok(connection);
        }
        let Ok(_guard) = timeout_at(deadline.at, self.connecting.lock()).await else {
            let reason = format!("no connection within {:?}", deadline.timeout);
            return Err(self.connector.failure(SendStage::Connect, &reason));
        };
        // Another task may have opened one meanwhile.
        if let Some(connection) = self.acquire_pooled(files) {
            return Ok(connection);
        }
        let connection = self.open(files, deadline).await?;
        Ok(PooledConnection { pool: self, connection, file_versions: files, reused: false })
    }

    /// Returns an open connection that was opened with the current certificate files, if there is
    /// one; removes those that are closed or were opened with other files.
    fn acquire_pooled(&self, files: TlsFileVersions) -> Option<PooledConnection<'_>> {
        let mut state = self.state.lock();
        if state.file_versions != files {
            *state = PoolState { file_versions: files, ..PoolState::default() };
        }
        state.http2.take_if(|connection| !connection.is_open());
        state.idle_http1.retain(Http1::is_open);
        let connection = match &state.http2 {
            Some(shared) => HttpConnection::Http2(self.guard_http2(Arc::clone(shared))),
            None => HttpConnection::Http1(state.idle_http1.pop()?),
        };
        Some(PooledConnection { pool: self, connection, file_versions: files, reused: true })
    }

    async fn open(
        &self,
        files: TlsFileVersions,
        deadline: Deadline,
    ) -> Result<HttpConnection<'_>, Failure> {
        let connected = self.connector.connect(deadline).await?;
        let opened = if connected.http2 {
            let opened = Http2::open(connected.stream, deadline.timeout).await;
            opened.map(|connection| HttpConnection::Http2(self.pool_http2(connection, files)))
        } else {
            Http1::open(connected.stream).await.map(HttpConnection::Http1)
        };
        opened.map_err(|error| self.connection_failure(&error.into(), false))
    }

    fn pool_http2(&self, connection: Http2, files: TlsFileVersions) -> Http2Guard<'_> {
        let connection = Arc::new(connection);
        let mut state = self.state.lock();
        if state.file_versions == files {
            state.http2 = Some(Arc::clone(&connection));
        }
        self.guard_http2(connection)
    }

    const fn guard_http2(&self, connection: Arc<Http2>) -> Http2Guard<'_> {
        Http2Guard { pool: self, connection, released: false }
    }

    fn clear(&self) {
        let mut state = self.state.lock();
        *state = PoolState { file_versions: state.file_versions, ..PoolState::default() };
    }
}

impl<'a> StreamingResponse<'a> {
    pub(super) fn into_parts(self) -> (Parts, Incoming, PooledConnection<'a>) {
        let (head, body) = self.response.into_parts();
        (head, body, self.connection)
    }
}

impl PooledConnection<'_> {
    async fn send(
        &mut self,
        request: HttpRequest,
    ) -> Result<Response<Incoming>, HttpConnectionError> {
        match &mut self.connection {
            HttpConnection::Http2(guard) => guard.connection.send(request).await,
            HttpConnection::Http1(connection) => connection.send(request).await,
        }
    }

    /// Returns the connection to the pool, once the response was read to its end.
    pub(super) fn release(self) {
        match self.connection {
            HttpConnection::Http2(mut guard) => guard.released = true,
            HttpConnection::Http1(connection) => {
                let mut state = self.pool.state.lock();
                if state.file_versions == self.file_versions {
                    state.idle_http1.push(connection);
                }
            }
        }
    }
}

impl Drop for Http2Guard<'_> {
    fn drop(&mut self) {
        if !self.released {
            let mut state = self.pool.state.lock();
            state.http2.take_if(|shared| Arc::ptr_eq(shared, &self.connection));
        }
    }
}
