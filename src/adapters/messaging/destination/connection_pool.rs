//! The connections to a destination: opened on demand, reused, replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Response;
use http::response::Parts;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::timeout_at;
use tracing::debug;

use super::config::DestinationSettings;
use super::connection_age::ConnectionAge;
use super::connector::Connector;
use super::deadline::Deadline;
use super::failure::SendStage;
use super::http_connection::{Http1, Http2, HttpRequest};
use super::http_connection_error::HttpConnectionError;
use super::tls::TlsFileVersions;
use crate::domain::delivery::Failure;

/// The part of the remaining time that replacing an old connection may take.
const RENEWAL_DIVISOR: u32 = 4;
/// Pause after a connection could not be replaced.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// Sends requests over pooled connections: a single shared one over HTTP/2, one per concurrent
/// request over HTTP/1.1.
#[derive(Debug)]
pub(super) struct ConnectionPool {
    connector: Connector,
    max_age: Option<Duration>,
    state: Mutex<PoolState>,
    /// Held while connecting, so that concurrent sends share the HTTP/2 connection that one of them
    /// opens.
    connecting: tokio::sync::Mutex<()>,
    /// Whether the destination has ever responded in HTTP.
    has_responded: AtomicBool,
}

/// Connections for later requests. At most as many are idle as were ever in use concurrently.
#[derive(Debug, Default)]
struct PoolState {
    /// Versions of the certificate files that the connections were opened with.
    file_versions: TlsFileVersions,
    http2: Option<(Arc<Http2>, ConnectionAge)>,
    idle_http1: Vec<(Http1, ConnectionAge)>,
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
    age: ConnectionAge,
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
            max_age: settings.connection_max_age,
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            has_responded: AtomicBool::new(false),
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
            Ok(response) => {
                self.has_responded.store(true, Ordering::Relaxed);
                Ok(StreamingResponse { response, connection })
            }
            Err(error) => Err(self.request_failure(&error)),
        }
    }

    /// Converts an error of a request into a failure, as if a part of its body was sent.
    pub(super) fn request_failure(&self, error: &HttpConnectionError) -> Failure {
        let kind = error.failure_kind(self.connector.endpoint().tls);
        Failure { kind, ..self.connection_failure(error) }
    }

    /// Converts an error of an open connection into a failure. A peer that has responded before is
    /// the right one, even if it resets connections now.
    fn connection_failure(&self, error: &HttpConnectionError) -> Failure {
        let stage = error.stage(self.connector.endpoint().tls);
        let hint = match stage {
            // With TLS 1.3 the peer refuses a client certificate after the handshake.
            SendStage::Tls => self.connector.tls_remedy(error),
            SendStage::Response => self.connector.wrong_port_hint().to_owned(),
            SendStage::Reset if !self.has_responded.load(Ordering::Relaxed) => {
                self.connector.wrong_port_hint().to_owned()
            }
            _ => String::new(),
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
            return Ok(self.renew(connection, deadline).await);
        }
        let Ok(_guard) = timeout_at(deadline.at, self.connecting.lock()).await else {
            let reason = format!("no connection within {:?}", deadline.timeout);
            return Err(self.connector.failure(SendStage::Connect, &reason));
        };
        // Another task may have opened one meanwhile.
        if let Some(connection) = self.acquire_pooled(files) {
            return Ok(connection);
        }
        self.open(files, deadline).await
    }

    /// Returns an open connection that was opened with the current certificate files, if there is
    /// one; removes those that are closed or were opened with other files.
    fn acquire_pooled(&self, files: TlsFileVersions) -> Option<PooledConnection<'_>> {
        let mut state = self.state.lock();
        if state.file_versions != files {
            *state = PoolState { file_versions: files, ..PoolState::default() };
        }
        state.http2.take_if(|(connection, _)| !connection.is_open());
        state.idle_http1.retain(|(connection, _)| connection.is_open());
        let (connection, age) = if let Some((shared, age)) = &state.http2 {
            (HttpConnection::Http2(self.guard_http2(Arc::clone(shared))), *age)
        } else {
            let (connection, age) = state.idle_http1.pop()?;
            (HttpConnection::Http1(connection), age)
        };
        Some(PooledConnection { pool: self, connection, age, file_versions: files, reused: true })
    }

    /// Returns a new connection in place of one that has reached its maximum age, or that one if
    /// none can be opened. Requests that are open on it are not disturbed.
    async fn renew<'a>(
        &'a self,
        mut connection: PooledConnection<'a>,
        deadline: Deadline,
    ) -> PooledConnection<'a> {
        if !connection.age.is_reached() {
            return connection;
        }
        // While one task connects, the others use what there is.
        let Ok(_guard) = self.connecting.try_lock() else { return connection };
        match self.open(connection.file_versions, deadline.fraction(RENEWAL_DIVISOR)).await {
            Ok(new) => new,
            Err(failure) => {
                let why = failure.message;
                debug!(%why, "a connection is kept beyond its maximum age");
                self.postpone(&mut connection);
                connection
            }
        }
    }

    /// Lets some time pass until the replacement of a connection is tried again.
    fn postpone(&self, connection: &mut PooledConnection<'_>) {
        let Some(max_age) = self.max_age else { return };
        connection.age = ConnectionAge::until(max_age.min(RENEWAL_PAUSE));
        let HttpConnection::Http2(guard) = &connection.connection else { return };
        if let Some((shared, age)) = &mut self.state.lock().http2
            && Arc::ptr_eq(shared, &guard.connection)
        {
            *age = connection.age;
        }
    }

    async fn open(
        &self,
        files: TlsFileVersions,
        deadline: Deadline,
    ) -> Result<PooledConnection<'_>, Failure> {
        let connected = self.connector.connect(deadline).await?;
        let age = self.max_age.map_or(ConnectionAge::UNLIMITED, ConnectionAge::until);
        let opened = if connected.http2 {
            let opened = Http2::open(connected.stream, deadline.timeout).await;
            opened.map(|connection| HttpConnection::Http2(self.pool_http2(connection, age, files)))
        } else {
            Http1::open(connected.stream).await.map(HttpConnection::Http1)
        };
        let connection = opened.map_err(|error| self.connection_failure(&error.into()))?;
        Ok(PooledConnection { pool: self, connection, age, file_versions: files, reused: false })
    }

    fn pool_http2(
        &self,
        connection: Http2,
        age: ConnectionAge,
        files: TlsFileVersions,
    ) -> Http2Guard<'_> {
        let connection = Arc::new(connection);
        let mut state = self.state.lock();
        if state.file_versions == files {
            state.http2 = Some((Arc::clone(&connection), age));
            state.idle_http1.clear();
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
                    state.idle_http1.push((connection, self.age));
                }
            }
        }
    }
}

impl Drop for Http2Guard<'_> {
    fn drop(&mut self) {
        if !self.released {
            let mut state = self.pool.state.lock();
            state.http2.take_if(|(shared, _)| Arc::ptr_eq(shared, &self.connection));
        }
    }
}
