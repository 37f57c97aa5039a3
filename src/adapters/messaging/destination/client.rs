//! What both transports do alike: headers, connection, compression, one deadline over all.

use std::sync::Arc;
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::timeout_at;

use super::answer::{Answer, Rest, read};
use super::body::Rope;
use super::compress::compressed;
use super::config::{Compression, DestinationSettings, Endpoint};
use super::connector::Deadline;
use super::failure::{Step, unavailable};
use super::header_files::{HeaderValueFile, HeadersFile};
use super::line::{Outgoing, Target};
use super::transport::{Lease, Transport};
use crate::adapters::messaging::notation::headers::{HeaderFiles, Headers};
use crate::domain::delivery::{Failure, FailureKind};

const PRODUCT: &str = concat!("tracebuffer/", env!("CARGO_PKG_VERSION"));

/// Sends bodies to one endpoint.
#[derive(Debug)]
pub(super) struct Client {
    transport: Transport,
    target: Arc<Target>,
    compression: Compression,
    headers: Headers,
    headers_file: Option<HeadersFile>,
    value_files: Vec<(HeaderName, HeaderValueFile)>,
    timeout: Duration,
    /// `host:port`, for people.
    pub(super) peer: String,
}

impl Client {
    pub(super) fn new(settings: &DestinationSettings, path: &str) -> Self {
        let target = Target {
            scheme: if settings.endpoint.tls { "https" } else { "http" },
            authority: authority(&settings.endpoint),
            path: path.to_owned(),
        };
        Self {
            transport: Transport::new(settings),
            target: Arc::new(target),
            compression: settings.compression,
            headers: settings.headers.clone(),
            headers_file: settings.headers_file.clone().map(HeadersFile::new),
            value_files: value_files(&settings.header_files),
            timeout: settings.timeout,
            peer: settings.endpoint.authority(),
        }
    }

    /// Starts the time of one send.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    /// Waits for one attempt until its time is over.
    pub(super) async fn in_time<T>(
        &self,
        deadline: Deadline,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout_at(deadline.at, attempt).await.unwrap_or_else(|_| Err(self.timed_out()))
    }

    /// The failure of a send that took too long.
    fn timed_out(&self) -> Failure {
        Failure {
            kind: FailureKind::TimedOut,
            code: "TIMEOUT",
            retry_after: None,
            message: format!("no answer from {} within {:?}", self.peer, self.timeout).into(),
        }
    }

    /// The name of the compression, as both transports write it in a header.
    pub(super) const fn encoding(&self) -> Option<HeaderValue> {
        match self.compression {
            Compression::None => None,
            Compression::Gzip => Some(HeaderValue::from_static("gzip")),
            Compression::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }

    /// Returns the headers the user wants on this request: those of files replace those of the
    /// same name from the settings.
    pub(super) fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
        add(&mut headers, &self.headers);
        if let Some(file) = &self.headers_file {
            add(&mut headers, &file.current()?);
        }
        for (name, file) in &self.value_files {
            if let Some(value) = file.current()? {
                headers.insert(name, value);
            }
        }
        Ok(headers)
    }

    /// Connects where there is no connection. Done first, because a dead destination is not worth
    /// the compression.
    pub(super) async fn connected(&self, deadline: Deadline) -> Result<Lease<'_>, Failure> {
        self.transport.lease(deadline).await
    }

    pub(super) async fn compressed(&self, body: Rope) -> Result<Rope, Failure> {
        compressed(body, self.compression).await.map_err(|error| {
            unavailable(Step::Reset, format!("the batch cannot be compressed: {error}"))
        })
    }

    /// Sends one request and reads the answer.
    pub(super) async fn exchange<'a>(
        &'a self,
        lease: Lease<'a>,
        headers: HeaderMap,
        body: Rope,
        deadline: Deadline,
        rest: Rest,
    ) -> Result<Answer, Failure> {
        let request = Outgoing { target: Arc::clone(&self.target), headers, body };
        Ok(read(self.transport.exchange(lease, request, deadline).await?, rest).await)
    }

    /// The failure of an answer that broke off.
    pub(super) fn broken(&self, answer: &Answer) -> Option<Failure> {
        answer.body.broken.as_ref().map(|error| self.transport.unanswered(error, true))
    }
}

fn value_files(files: &HeaderFiles) -> Vec<(HeaderName, HeaderValueFile)> {
    files.iter().map(|(name, file)| (name.clone(), HeaderValueFile::new(file.clone()))).collect()
}

fn add(headers: &mut HeaderMap, more: &Headers) {
    for (name, value) in more.iter() {
        headers.insert(name, value.clone());
    }
}

/// Leaves out the scheme's own port, as virtual hosts are matched without it (RFC 9110, 4.2.3).
fn authority(endpoint: &Endpoint) -> String {
    let full = endpoint.authority();
    let own_port = if endpoint.tls { ":443" } else { ":80" };
    full.strip_suffix(own_port).map_or_else(|| full.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_left_out_only_where_it_is_the_schemes_own() {
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
