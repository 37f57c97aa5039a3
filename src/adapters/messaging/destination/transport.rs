//! The connections to a destination: opened when needed, kept, replaced.

use std::sync::Arc;

use http::Response;
use http::response::Parts;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::timeout_at;

use super::config::DestinationSettings;
use super::connector::{Connector, Deadline};
use super::failure::Step;
use super::line::{Outgoing, Own, Shared};
use super::line_error::LineError;
use super::tls::TlsStamp;
use crate::domain::delivery::Failure;

/// Sends requests over connections it keeps: one for all over HTTP/2, one each over HTTP/1.1.
#[derive(Debug)]
pub(super) struct Transport {
    connector: Connector,
    kept: Mutex<Kept>,
    /// Held while connecting, so that concurrent sends share what one of them opens.
    connecting: tokio::sync::Mutex<()>,
}

/// Connections for later requests. No more are idle than were ever busy at a time.
#[derive(Debug, Default)]
struct Kept {
    /// The certificate files they were made with.
    files: TlsStamp,
    shared: Option<Arc<Shared>>,
    idle: Vec<Own>,
}

/// An answer whose body is still to be read, and the connection it comes from.
///
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    response: Response<Incoming>,
    lease: Lease<'a>,
}

/// A connection in use.
///
/// Dropped without [`Lease::finish`], it is not used again: what was left half done on it, and what
/// it still holds of the request, goes with it.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    transport: &'a Transport,
    line: Line<'a>,
    files: TlsStamp,
    /// Whether an earlier request used the connection.
    reused: bool,
}

#[derive(Debug)]
enum Line<'a> {
    Shared(SharedLease<'a>),
    Own(Own),
}

/// Use of the shared connection; forgets it when dropped unfinished.
#[derive(Debug)]
struct SharedLease<'a> {
    transport: &'a Transport,
    shared: Arc<Shared>,
    finished: bool,
}

impl Transport {
    pub(super) fn new(settings: &DestinationSettings) -> Self {
        Self {
            connector: Connector::new(settings),
            kept: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Sends `request` over `lease` and waits for the head of the answer, for as long as that takes.
    ///
    /// `deadline` bounds connecting anew where the leased connection turns out to be closed.
    pub(super) async fn exchange<'a>(
        &'a self,
        mut lease: Lease<'a>,
        request: Outgoing,
        deadline: Deadline,
    ) -> Result<Exchange<'a>, Failure> {
        let mut sent = lease.send(request.clone()).await;
        if lease.reused && sent.as_ref().is_err_and(LineError::is_lost_race) {
            drop(lease);
            self.forget_all();
            lease = self.lease(deadline).await?;
            sent = lease.send(request).await;
        }
        match sent {
            Ok(response) => Ok(Exchange { response, lease }),
            Err(error) => Err(self.unanswered(&error, lease.reused)),
        }
    }

    /// Turns an error of an open connection into a failure; `proven` says whether the peer has
    /// answered on it before.
    pub(super) fn unanswered(&self, error: &LineError, proven: bool) -> Failure {
        let step = error.step(self.connector.endpoint().tls);
        let suspicion = match step {
            Step::Answer => self.connector.suspicion(),
            Step::Reset if !proven => self.connector.suspicion(),
            _ => "",
        };
        self.connector.failed(step, &format!("{}{suspicion}", error.explained()))
    }

    /// Takes a connection that is free, or opens one; fails by `deadline`, with what it was waiting
    /// for.
    pub(super) async fn lease(&self, deadline: Deadline) -> Result<Lease<'_>, Failure> {
        let files = self.connector.stamp();
        if let Some(kept) = self.kept_lease(files) {
            return Ok(kept);
        }
        let Ok(_turn) = timeout_at(deadline.at, self.connecting.lock()).await else {
            let late = format!("no connection within {:?}", deadline.given);
            return Err(self.connector.failed(Step::Connect, &late));
        };
        if let Some(kept) = self.kept_lease(files) {
            return Ok(kept);
        }
        let line = self.open(files, deadline).await?;
        Ok(Lease { transport: self, line, files, reused: false })
    }

    /// Returns an open connection made with the files as they are now, and forgets all others.
    fn kept_lease(&self, files: TlsStamp) -> Option<Lease<'_>> {
        let mut kept = self.kept.lock();
        if kept.files != files {
            *kept = Kept { files, ..Kept::default() };
        }
        kept.shared.take_if(|shared| !shared.is_open());
        kept.idle.retain(Own::is_open);
        let line = match &kept.shared {
            Some(shared) => Line::Shared(self.shared_lease(Arc::clone(shared))),
            None => Line::Own(kept.idle.pop()?),
        };
        Some(Lease { transport: self, line, files, reused: true })
    }

    async fn open(&self, files: TlsStamp, deadline: Deadline) -> Result<Line<'_>, Failure> {
        let connected = self.connector.connect(deadline).await?;
        let opened = if connected.http2 {
            let shared = Shared::open(connected.stream, deadline.given).await;
            shared.map(|shared| Line::Shared(self.keep_shared(shared, files)))
        } else {
            Own::open(connected.stream).await.map(Line::Own)
        };
        opened.map_err(|error| self.unanswered(&error.into(), false))
    }

    fn keep_shared(&self, shared: Shared, files: TlsStamp) -> SharedLease<'_> {
        let shared = Arc::new(shared);
        let mut kept = self.kept.lock();
        if kept.files == files {
            kept.shared = Some(Arc::clone(&shared));
        }
        self.shared_lease(shared)
    }

    const fn shared_lease(&self, shared: Arc<Shared>) -> SharedLease<'_> {
        SharedLease { transport: self, shared, finished: false }
    }

    fn forget_all(&self) {
        let mut kept = self.kept.lock();
        *kept = Kept { files: kept.files, ..Kept::default() };
    }
}

impl<'a> Exchange<'a> {
    pub(super) fn into_parts(self) -> (Parts, Incoming, Lease<'a>) {
        let (head, body) = self.response.into_parts();
        (head, body, self.lease)
    }
}

impl Lease<'_> {
    async fn send(&mut self, request: Outgoing) -> Result<Response<Incoming>, LineError> {
        match &mut self.line {
            Line::Shared(lease) => lease.shared.send(request).await,
            Line::Own(own) => own.send(request).await,
        }
    }

    /// Keeps the connection for later requests: the answer was read to its end.
    pub(super) fn finish(self) {
        match self.line {
            Line::Shared(mut lease) => lease.finished = true,
            Line::Own(own) => {
                let mut kept = self.transport.kept.lock();
                if kept.files == self.files {
                    kept.idle.push(own);
                }
            }
        }
    }
}

impl Drop for SharedLease<'_> {
    fn drop(&mut self) {
        if !self.finished {
            let mut kept = self.transport.kept.lock();
            kept.shared.take_if(|shared| Arc::ptr_eq(shared, &self.shared));
        }
    }
}
