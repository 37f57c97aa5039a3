//! The admin port: health, metrics, the state of the buffer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::exposition::{OPENMETRICS, PROMETHEUS, Scrape};
use super::metrics::Metrics;
use super::process::ProcessStats;
use crate::adapters::server::Service;
use crate::ports::buffer::{BufferStatus, TraceBufferPort};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// Where an eager flush is asked for.
pub(super) const FLUSH: &str = "/flush";
const OVERVIEW: &str = "tracebuffer\n\n\
    /live          200 while the process runs\n\
    /ready         200 while it listens\n\
    /metrics       Prometheus and OpenMetrics\n\
    /debug/buffer  fill, age, limits, ledger and destination as JSON (from this machine only)\n\
    POST /flush    sends what is buffered without waiting, from now on (from this machine only)\n";

/// What the admin port shows.
pub struct AdminState<B> {
    /// The buffer.
    pub buffer: Arc<B>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Makes the forwarder send without waiting, from now on.
    pub hurry: Box<dyn Fn() + Send + Sync>,
    /// Counts the receiver's open connections.
    pub open_connections: Box<dyn Fn() -> usize + Send + Sync>,
    /// Where spans go, for people; without secrets.
    pub destination: String,
    /// Whether the receiver listens.
    pub ready: AtomicBool,
}

/// Answers on the admin port.
pub struct AdminService<B> {
    state: Arc<AdminState<B>>,
}

impl<B> AdminService<B> {
    /// Shows `state`.
    #[must_use]
    pub const fn new(state: Arc<AdminState<B>>) -> Self {
        Self { state }
    }
}

impl<B> Clone for AdminService<B> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state) }
    }
}

impl<B: TraceBufferPort> Service for AdminService<B> {
    type Body = Full<Bytes>;

    async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.state.answer(peer, request.method(), request.uri().path(), request.headers())
    }
}

impl<B: TraceBufferPort> AdminState<B> {
    fn answer(
        &self,
        peer: IpAddr,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response<Full<Bytes>> {
        let is_here = peer.to_canonical().is_loopback();
        let wanted = if path == FLUSH { Method::POST } else { Method::GET };
        let is_head = method == Method::HEAD && wanted == Method::GET;
        if *method != wanted && !is_head {
            return not_allowed(&wanted);
        }
        match path {
            "/" => reply(StatusCode::OK, TEXT, OVERVIEW),
            "/live" => reply(StatusCode::OK, TEXT, "live\n"),
            "/ready" if self.ready.load(Ordering::Acquire) => {
                reply(StatusCode::OK, TEXT, "ready\n")
            }
            "/ready" => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not listening\n"),
            "/metrics" => self.metrics(headers),
            // Error messages of the destination are for those who can reach this machine.
            "/debug/buffer" | FLUSH if !is_here => {
                reply(StatusCode::FORBIDDEN, TEXT, "answered to this machine only\n")
            }
            FLUSH => self.flush(),
            "/debug/buffer" => reply(StatusCode::OK, JSON, format!("{:#}\n", self.debug())),
            _ => reply(StatusCode::NOT_FOUND, TEXT, format!("nothing here; see\n\n{OVERVIEW}")),
        }
    }

    /// Sends eagerly from now on, and says how much there is to be sent.
    fn flush(&self) -> Response<Full<Bytes>> {
        self.buffer.flush();
        (self.hurry)();
        let ledger = self.buffer.status().ledger;
        let spans = ledger.buffered + ledger.in_flight;
        reply(StatusCode::OK, TEXT, format!("sending {spans} buffered spans without waiting\n"))
    }

    fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let scrape = Scrape {
            metrics: &self.metrics,
            status: self.buffer.status(),
            open_connections: (self.open_connections)() as u64,
            process: ProcessStats::read(),
        };
        let (kind, text) = if accept.contains("application/openmetrics-text") {
            (OPENMETRICS, scrape.openmetrics())
        } else {
            (PROMETHEUS, scrape.prometheus())
        };
        text.map_or_else(
            |_| reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the metrics cannot be written\n"),
            |text| reply(StatusCode::OK, kind, text),
        )
    }

    fn debug(&self) -> Value {
        let BufferStatus { ledger, limits, charged_bytes, oldest_age } = self.buffer.status();
        let dropped: serde_json::Map<_, _> =
            ledger.drops().map(|(reason, n)| (reason.as_str().to_owned(), n.into())).collect();
        json!({
            "buffer": {
                "spans": ledger.buffered + ledger.in_flight,
                "bytes": charged_bytes,
                "oldest_age_seconds": oldest_age.map(|age| age.as_secs_f64()),
            },
            "limits": {
                "max_spans": limits.max_spans,
                "max_bytes": limits.max_bytes,
                "max_age_seconds": limits.max_age.map(|age| age.as_secs_f64()),
            },
            "ledger": {
                "accepted": ledger.accepted,
                "sent": ledger.sent,
                "rejected": ledger.rejected,
                "dropped": dropped,
                "buffered": ledger.buffered,
                "in_flight": ledger.in_flight,
            },
            "destination": self.destination_state(),
        })
    }

    fn destination_state(&self) -> Value {
        let news = self.metrics.news();
        let state = match (news.failures_in_a_row, news.last_success) {
            (0, None) => "untried",
            (0, Some(_)) => "delivering",
            _ => "failing",
        };
        let last_error = news.last_failure.map(|(when, code, message)| {
            json!({ "code": code, "message": message, "seconds_ago": seconds_since(when) })
        });
        json!({
            "endpoint": self.destination,
            "state": state,
            "failures_in_a_row": news.failures_in_a_row,
            "last_success_seconds_ago": news.last_success.map(seconds_since),
            "last_error": last_error,
        })
    }
}

fn seconds_since(when: SystemTime) -> f64 {
    SystemTime::now().duration_since(when).unwrap_or_default().as_secs_f64()
}

fn not_allowed(wanted: &Method) -> Response<Full<Bytes>> {
    let text = format!("only {wanted} is answered here\n");
    let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
    let allow = if *wanted == Method::GET { "GET, HEAD" } else { "POST" };
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn reply(code: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
