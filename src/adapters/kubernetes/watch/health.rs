//! The health of a watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use kube::Client;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The health of a watch: when the API server last responded, and why it fails.
pub(super) struct WatchHealth {
    start: Instant,
    /// Milliseconds from the start to the last activity.
    last_activity: AtomicU64,
    is_synced: AtomicBool,
    failure: Mutex<Option<WatchFailure>>,
}

struct WatchFailure {
    message: String,
    /// Milliseconds from the start.
    at: u64,
}

impl WatchHealth {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            last_activity: AtomicU64::new(0),
            is_synced: AtomicBool::new(false),
            failure: Mutex::new(None),
        })
    }

    /// Returns whether all objects were listed once.
    pub(super) fn is_synced(&self) -> bool {
        self.is_synced.load(Ordering::Acquire)
    }

    pub(super) fn set_synced(&self) {
        self.is_synced.store(true, Ordering::Release);
    }

    /// Returns the time since the API server last sent a successful response or a part of it.
    pub(super) fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last_activity.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn record_activity(&self) {
        self.last_activity.store(self.now(), Ordering::Relaxed);
    }

    fn is_resolved(&self, failure: &WatchFailure) -> bool {
        self.last_activity.load(Ordering::Relaxed) > failure.at
    }

    /// Returns the current failure with its remedy, or `None` while the watch works.
    pub(super) fn failure(&self) -> Option<String> {
        let failure = self.failure.lock();
        failure
            .as_ref()
            .filter(|failure| !self.is_resolved(failure))
            .map(|failure| failure.message.clone())
    }

    /// Records a failure. Returns whether it differs from the current one.
    pub(super) fn record_failure(&self, message: String) -> bool {
        let mut current = self.failure.lock();
        let is_new = current
            .as_ref()
            .is_none_or(|failure| failure.message != message || self.is_resolved(failure));
        *current = Some(WatchFailure { message, at: self.now() });
        is_new
    }

    /// Records that the watch works. Returns whether it failed before.
    pub(super) fn clear_failure(&self) -> bool {
        self.failure.lock().take().is_some()
    }

    /// Returns a client that records activity for everything that it receives, including what kube's
    /// watcher does not report, such as bookmarks.
    pub(super) fn instrument(self: &Arc<Self>, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let health = Arc::clone(self);
        let service = tower::service_fn(move |request| {
            let (client, health) = (client.clone(), Arc::clone(&health));
            async move {
                let response = client.send(request).await?;
                let is_good = response.status().is_success();
                let record = move || {
                    if is_good {
                        health.record_activity();
                    }
                };
                record();
                let instrument = move |body: kube::client::Body| {
                    body.map_frame(move |frame| {
                        record();
                        frame
                    })
                };
                Ok::<_, kube::Error>(response.map(instrument))
            }
        });
        Client::new(service, namespace)
    }
}
