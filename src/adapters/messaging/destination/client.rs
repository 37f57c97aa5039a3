//! What both transports share: headers, connections, compression, and one deadline for it all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue};
use tokio::time::timeout_at;

use super::body::Rope;
use super::compress::compress;
use super::config::{Compression, DestinationSettings, Endpoint};
use super::connection_pool::{ConnectionPool, PooledConnection};
use super::deadline::Deadline;
use super::failure::{SendStage, unavailable};
use super::header_files::HeaderSources;
use super::http_connection::{HttpRequest, PRODUCT, Target};
use super::response::{BufferedResponse, ExcessBody, SentRequest, read_response};
use crate::adapters::files::FileReads;
use crate::adapters::messaging::notation::headers::Headers;
use crate::domain::delivery::{Failure, FailureKind};

/// Sends bodies to one endpoint.
#[derive(Debug)]
pub(super) struct EndpointClient {
    pool: ConnectionPool,
    target: Arc<Target>,
    compression: Compression,
    headers: Headers,
    header_sources: Option<Arc<HeaderSources>>,
    header_reads: FileReads,
    timeout: Duration,
    /// `host:port`, for people.
    peer: String,
}

impl EndpointClient {
    pub(super) fn new(settings: &DestinationSettings, path: &str) -> Self {
        let target = Target {
            scheme: if settings.endpoint.tls { "https" } else { "http" },
            authority: authority(&settings.endpoint),
            path: path.to_owned(),
        };
        Self {
            pool: ConnectionPool::new(settings),
            target: Arc::new(target),
            compression: settings.compression,
            headers: settings.headers.clone(),
            header_sources: HeaderSources::new(settings).map(Arc::new),
            header_reads: FileReads::default(),
            timeout: settings.timeout,
            peer: settings.endpoint.authority(),
        }
    }

    /// Returns the deadline of a send that starts now.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    /// Waits for one attempt, at most until `deadline`.
    pub(super) async fn with_deadline<T>(
        &self,
        deadline: Deadline,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout_at(deadline.at, attempt).await.unwrap_or_else(|_| Err(self.timed_out()))
    }

    /// Returns the failure of a send that took too long.
    fn timed_out(&self) -> Failure {
        Failure {
            kind: FailureKind::TimedOut,
            code: "TIMEOUT",
            retry_after: None,
            message: format!("no response from {} within {:?}", self.peer, self.timeout).into(),
        }
    }

    /// Returns the value of `content-encoding` (HTTP) and `grpc-encoding` (gRPC); `None` without
    /// compression.
    pub(super) const fn encoding(&self) -> Option<HeaderValue> {
        match self.compression {
            Compression::None => None,
            Compression::Gzip => Some(HeaderValue::from_static("gzip")),
            Compression::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }

    /// Returns what explains the response to a request.
    pub(super) fn sent_request(&self) -> SentRequest<'_> {
        SentRequest { peer: &self.peer, compressed: self.compression != Compression::None }
    }

    /// Returns the headers of a request: `User-Agent` and the configured ones. Of one name, a header
    /// from a file replaces one from the settings, and a value file one from the headers file.
    pub(super) async fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
        for (name, value) in self.headers.iter() {
            headers.insert(name, value.clone());
        }
        if let Some(sources) = &self.header_sources {
            let read = Arc::clone(sources);
            let read = self.header_reads.run(move || read.current()).await;
            headers.extend(read.map_err(|error| sources.failure(&error)).flatten()?);
        }
        Ok(headers)
    }

    /// Returns a connection, opening one if needed. Called before compressing, which would be
    /// wasted on an unreachable destination.
    pub(super) async fn connect(
        &self,
        deadline: Deadline,
    ) -> Result<PooledConnection<'_>, Failure> {
        self.pool.acquire(deadline).await
    }

    pub(super) async fn compress(&self, body: Rope) -> Result<Rope, Failure> {
        compress(body, self.compression).await.map_err(|error| {
            unavailable(SendStage::Reset, format!("the batch cannot be compressed: {error}"))
        })
    }

    /// Sends one request and reads the response.
    pub(super) async fn send_request<'a>(
        &'a self,
        connection: PooledConnection<'a>,
        headers: HeaderMap,
        body: Rope,
        deadline: Deadline,
        excess: ExcessBody,
    ) -> Result<BufferedResponse, Failure> {
        let begun = body.begun();
        let request = HttpRequest { target: Arc::clone(&self.target), headers, body };
        let response = self.pool.send_request(connection, request, deadline).await;
        let response = response.map_err(|failure| match failure.kind {
            // A request whose body was not looked at is not the cause.
            FailureKind::Inconclusive if !begun.load(Ordering::Relaxed) => {
                Failure { kind: FailureKind::Unavailable, ..failure }
            }
            _ => failure,
        })?;
        Ok(read_response(response, excess).await)
    }

    /// Returns the failure of a response whose body ended early.
    pub(super) fn body_failure(&self, response: &BufferedResponse) -> Option<Failure> {
        response.body.error.as_ref().map(|error| self.pool.request_failure(error))
    }
}

/// Omits the scheme's default port, because some servers match virtual hosts literally. Both forms
/// are equivalent (RFC 9110, 4.2.3).
fn authority(endpoint: &Endpoint) -> String {
    let full = endpoint.authority();
    let default_port = if endpoint.tls { ":443" } else { ":80" };
    full.strip_suffix(default_port).map_or_else(|| full.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_port_of_the_scheme_is_left_out() {
        let cases = [
            (true, 443, "traces.example"),
            (true, 80, "traces.example:80"),
            (false, 80, "traces.example"),
            (false, 443, "traces.example:443"),
            (false, 4317, "traces.example:4317"),
        ];
        for (tls, port, expected) in cases {
            let host = "traces.example".to_owned();
            let endpoint = Endpoint { tls, host, port, path: String::new() };

            assert_eq!(authority(&endpoint), expected);
        }
    }
}
