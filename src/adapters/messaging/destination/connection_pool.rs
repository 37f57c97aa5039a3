//! The connections to a destination: opened when needed, kept, replaced.

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

/// Sends requests over connections it keeps: one for all over HTTP/2, one each over HTTP/1.1.
#[derive(Debug)]
pub(super) struct ConnectionPool {
    connector: Connector,
    state: Mutex<PoolState>,
    /// Held while connecting, so that concurrent sends share what one of them opens.
    connecting: tokio::sync::Mutex<()>,
}

/// Connections for later requests. No more are idle than were ever busy at a time.
#[derive(Debug, Default)]
struct PoolState {
    /// The certificate files they were made with.
    file_versions: TlsFileVersions,
    http2: Option<Arc<Http2>>,
    idle_http1: Vec<Http1>,
}

/// An answer whose body is still to be read, and the connection it comes from.
///
#[derive(Debug)]
pub(super) struct StreamingResponse<'a> {
    response: Response<Incoming>,
    connection: PooledConnection<'a>,
}

/// A connection in use.
///
/// Dropped without [`PooledConnection::release`], it is not used again: what was left half done on it, and what
/// it still holds of the request, goes with it.
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

/// Use of the shared connection; forgets it when dropped unfinished.
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

    /// Sends `request` over `lease` and waits for the head of the answer, for as long as that takes.
    ///
    /// `deadline` bounds connecting anew where the leased connection turns out to be closed.
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

    /// Turns an error of an open connection into a failure; `proven` says whether the peer has
    /// answered on it before.
    pub(super) fn connection_failure(&self, error: &HttpConnectionError, proven: bool) -> Failure {
        let step = error.stage(self.connector.endpoint().tls);
        let suspicion = match step {
            SendStage::Response => self.connector.wrong_port_hint(),
            SendStage::Reset if !proven => self.connector.wrong_port_hint(),
            _ => "",
        };
        self.connector.failure(step, &format!("{}{suspicion}", error.error_chain()))
    }

    /// Takes a connection that is free, or opens one; fails by `deadline`, with what it was waiting
    /// for.
    pub(super) async fn acquire(
        &self,
        deadline: Deadline,
    ) -> Result<PooledConnection<'_>, Failure> {
        let files = self.connector.file_versions();
        if let Some(kept) = self.acquire_pooled(files) {
            return Ok(kept);
        }
        let Ok(_turn) = timeout_at(deadline.at, self.connecting.lock()).await else {
            let late = format!("no connection within {:?}", deadline.timeout);
            return Err(self.connector.failure(SendStage::Connect, &late));
        };
        if let Some(kept) = self.acquire_pooled(files) {
            return Ok(kept);
        }
        let connection = self.open(files, deadline).await?;
        Ok(PooledConnection { pool: self, connection, file_versions: files, reused: false })
    }

    /// Returns an open connection made with the files as they are now, and forgets all others.
    fn acquire_pooled(&self, files: TlsFileVersions) -> Option<PooledConnection<'_>> {
        let mut kept = self.state.lock();
        if kept.file_versions != files {
            *kept = PoolState { file_versions: files, ..PoolState::default() };
        }
        kept.http2.take_if(|shared| !shared.is_open());
        kept.idle_http1.retain(Http1::is_open);
        let connection = match &kept.http2 {
            Some(shared) => HttpConnection::Http2(self.guard_http2(Arc::clone(shared))),
            None => HttpConnection::Http1(kept.idle_http1.pop()?),
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
            let shared = Http2::open(connected.stream, deadline.timeout).await;
            shared.map(|shared| HttpConnection::Http2(self.pool_http2(shared, files)))
        } else {
            Http1::open(connected.stream).await.map(HttpConnection::Http1)
        };
        opened.map_err(|error| self.connection_failure(&error.into(), false))
    }

    fn pool_http2(&self, shared: Http2, files: TlsFileVersions) -> Http2Guard<'_> {
        let shared = Arc::new(shared);
        let mut kept = self.state.lock();
        if kept.file_versions == files {
            kept.http2 = Some(Arc::clone(&shared));
        }
        self.guard_http2(shared)
    }

    const fn guard_http2(&self, shared: Arc<Http2>) -> Http2Guard<'_> {
        Http2Guard { pool: self, connection: shared, released: false }
    }

    fn clear(&self) {
        let mut kept = self.state.lock();
        *kept = PoolState { file_versions: kept.file_versions, ..PoolState::default() };
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
            HttpConnection::Http2(lease) => lease.connection.send(request).await,
            HttpConnection::Http1(own) => own.send(request).await,
        }
    }

    /// Keeps the connection for later requests: the answer was read to its end.
    pub(super) fn release(self) {
        match self.connection {
            HttpConnection::Http2(mut lease) => lease.released = true,
            HttpConnection::Http1(own) => {
                let mut kept = self.pool.state.lock();
                if kept.file_versions == self.file_versions {
                    kept.idle_http1.push(own);
                }
            }
        }
    }
}

impl Drop for Http2Guard<'_> {
    fn drop(&mut self) {
        if !self.released {
            let mut kept = self.pool.state.lock();
            kept.http2.take_if(|shared| Arc::ptr_eq(shared, &self.connection));
        }
    }
}
