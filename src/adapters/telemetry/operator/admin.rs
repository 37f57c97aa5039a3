//! The admin pages of the controller: health and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use super::metrics::ControllerMetrics;
use crate::adapters::telemetry::admin_server::AdminPages;
use crate::adapters::telemetry::exposition::{Exposition, MetricValue, gauge, gauges};
use crate::adapters::telemetry::process::ProcessStats;

const OVERVIEW: &str = "tracebuffer controller\n\n\
    /live     200 while the process runs\n\
    /ready    200 while the webhook can decide and is trusted; else what is missing\n\
    /metrics  Prometheus and OpenMetrics\n";

/// Returns why the replica is not ready, in one human-readable line; `None` while the check passes.
pub type ReadinessCheck = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// A resource, and the time since its watch last received anything.
pub type WatchAge = (&'static str, Box<dyn Fn() -> Duration + Send + Sync>);

/// Whether this replica is ready to receive requests of API servers.
pub struct Readiness {
    checks: Vec<ReadinessCheck>,
    is_shutting_down: AtomicBool,
}

/// Callbacks that return the values of gauges at each scrape.
pub struct GaugeCallbacks {
    /// Whether this replica leads.
    pub is_leader: Box<dyn Fn() -> bool + Send + Sync>,
    /// The expiry of the served certificate, as time since the Unix epoch; `None` without a certificate.
    pub certificate_until: Box<dyn Fn() -> Option<Duration> + Send + Sync>,
    /// The watches.
    pub watch_ages: Vec<WatchAge>,
}

/// The pages of the admin port.
pub struct ControllerPages {
    metrics: Arc<ControllerMetrics>,
    readiness: Arc<Readiness>,
    sources: GaugeCallbacks,
}

impl Readiness {
    /// Creates a readiness that is ready while all checks pass.
    #[must_use]
    pub const fn new(checks: Vec<ReadinessCheck>) -> Self {
        Self { checks, is_shutting_down: AtomicBool::new(false) }
    }

    /// Marks the replica as not ready from now on, because the process shuts down.
    pub fn begin_shutdown(&self) {
        self.is_shutting_down.store(true, Ordering::Release);
    }

    /// Returns why the replica is not ready, one line per reason; empty while it is ready.
    #[must_use]
    pub fn unready_reasons(&self) -> Vec<String> {
        if self.is_shutting_down.load(Ordering::Acquire) {
            return vec!["ending".to_owned()];
        }
        self.checks.iter().filter_map(|check| check()).collect()
    }
}

/// Returns a check that fails with `reason` while `passes` is false.
pub fn readiness_check(
    passes: impl Fn() -> bool + Send + Sync + 'static,
    reason: &'static str,
) -> ReadinessCheck {
    Box::new(move || (!passes()).then(|| reason.to_owned()))
}

impl ControllerPages {
    /// Creates the pages.
    #[must_use]
    pub const fn new(
        metrics: Arc<ControllerMetrics>,
        readiness: Arc<Readiness>,
        sources: GaugeCallbacks,
    ) -> Self {
        Self { metrics, readiness, sources }
    }
}

impl AdminPages for ControllerPages {
    const OVERVIEW: &'static str = OVERVIEW;
    const LOCAL_PATHS: &'static [&'static str] = &[];
    const POST_PATHS: &'static [&'static str] = &[];

    fn unready_reasons(&self) -> Vec<String> {
        self.readiness.unready_reasons()
    }

    fn exposition(&self) -> Exposition {
        let mut exposition = Exposition::new(&ProcessStats::read());
        self.metrics.write_to(&mut exposition);
        self.sources.write_to(&mut exposition);
        exposition
    }

    fn page(&self, _: &str) -> Option<Response<Full<Bytes>>> {
        None
    }
}

impl GaugeCallbacks {
    fn write_to(&self, exposition: &mut Exposition) {
        let ages = self.watch_ages.iter().map(|(resource, age)| {
            (vec![("resource", *resource)], MetricValue::Float(age().as_secs_f64()))
        });
        let until = (self.certificate_until)().unwrap_or_default();
        exposition.add(vec![
            gauge(
                "tracebuffer_leader",
                "Whether this replica leads: 1 or 0",
                MetricValue::Integer(u64::from((self.is_leader)())),
            ),
            gauge(
                "tracebuffer_webhook_certificate_expiry_timestamp_seconds",
                "Until when the certificate that is served is valid; 0 without one",
                MetricValue::Float(until.as_secs_f64()),
            ),
            gauges(
                "tracebuffer_watch_age_seconds",
                "Time since a watch was last heard of",
                ages.collect(),
            ),
        ]);
    }
}

#[cfg(test)]
mod tests;
