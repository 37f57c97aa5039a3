//! The receiver's admin port: health, metrics and the state of the buffer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::metrics::Metrics;
use super::scrape::Scrape;
use crate::adapters::telemetry::admin_server::{AdminPages, TEXT_PLAIN, reply};
use crate::adapters::telemetry::exposition::Exposition;
use crate::adapters::telemetry::process::ProcessStats;
use crate::ports::buffer::{BufferStatus, TraceBufferPort};

const JSON: &str = "application/json";
/// Serves the state of the buffer.
const DEBUG_PATH: &str = "/debug/buffer";
/// Triggers a flush.
pub(super) const FLUSH_PATH: &str = "/flush";
const OVERVIEW: &str = "tracebuffer\n\n\
    /live          200 while the process runs\n\
    /ready         200 while it listens\n\
    /metrics       Prometheus and OpenMetrics\n\
    /debug/buffer  fill, age, limits, ledger and destination as JSON (from this machine only)\n\
    POST /flush    sends what is buffered now without waiting (from this machine only)\n";

/// What the admin port serves.
pub struct AdminState<B> {
    /// The buffer.
    pub buffer: Arc<B>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Makes the forwarder end its current backoff.
    pub flush: Box<dyn Fn() + Send + Sync>,
    /// Returns the number of the receiver's open connections.
    pub open_connections: Box<dyn Fn() -> usize + Send + Sync>,
    /// Description of the destination; without secrets.
    pub destination: String,
    /// Whether the receiver listens.
    pub ready: AtomicBool,
}

impl<B: TraceBufferPort> AdminPages for AdminState<B> {
    const OVERVIEW: &'static str = OVERVIEW;
    // The destination's error messages are shown only to clients on this machine.
    const LOCAL_PATHS: &'static [&'static str] = &[DEBUG_PATH, FLUSH_PATH];
    const POST_PATHS: &'static [&'static str] = &[FLUSH_PATH];

    fn unready_reasons(&self) -> Vec<String> {
        let is_ready = self.ready.load(Ordering::Acquire);
        if is_ready { vec![] } else { vec!["not listening".to_owned()] }
    }

    fn exposition(&self) -> Exposition {
        let scrape = Scrape {
            metrics: &self.metrics,
            status: self.buffer.status(),
            open_connections: (self.open_connections)() as u64,
            process: ProcessStats::read(),
        };
        scrape.exposition()
    }

    fn page(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        match path {
            DEBUG_PATH => Some(reply(StatusCode::OK, JSON, format!("{:#}\n", self.debug_json()))),
            FLUSH_PATH => Some(self.flush()),
            _ => None,
        }
    }
}

impl<B: TraceBufferPort> AdminState<B> {
    /// Sends what is buffered without waiting; reports how many spans are to be sent.
    fn flush(&self) -> Response<Full<Bytes>> {
        self.buffer.flush();
        (self.flush)();
        let ledger = self.buffer.status().ledger;
        let spans = ledger.buffered + ledger.in_flight;
        reply(
            StatusCode::OK,
            TEXT_PLAIN,
            format!("sending {spans} buffered spans without waiting\n"),
        )
    }

    fn debug_json(&self) -> Value {
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
        let health = self.metrics.destination_health();
        let state = match (health.consecutive_failures, health.last_success) {
            (0, None) => "untried",
            (0, Some(_)) => "delivering",
            _ => "failing",
        };
        let last_error = health.last_failure.map(|(when, code, message)| {
            json!({ "code": code, "message": message, "seconds_ago": seconds_since(when) })
        });
        json!({
            "endpoint": self.destination,
            "state": state,
            "failures_in_a_row": health.consecutive_failures,
            "last_success_seconds_ago": health.last_success.map(seconds_since),
            "last_error": last_error,
        })
    }
}

fn seconds_since(when: SystemTime) -> f64 {
    SystemTime::now().duration_since(when).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests;
