//! Whether a watch can be believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use kube::Client;
use parking_lot::Mutex;
use tokio::time::Instant;

/// How a watch fares.
pub(super) struct WatchHealth {
    start: Instant,
    /// Milliseconds from the start to the last sign of life.
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

    /// Returns whether everything was listed once.
    pub(super) fn is_synced(&self) -> bool {
        self.is_synced.load(Ordering::Acquire)
    }

    pub(super) fn set_synced(&self) {
        self.is_synced.store(true, Ordering::Release);
    }

    /// Returns the time since the API server last said anything good.
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

    fn is_resolved(&self, trouble: &WatchFailure) -> bool {
        self.last_activity.load(Ordering::Relaxed) > trouble.at
    }

    /// Returns what is wrong just now, and what to do about it.
    pub(super) fn failure(&self) -> Option<String> {
        let known = self.failure.lock();
        known
            .as_ref()
            .filter(|trouble| !self.is_resolved(trouble))
            .map(|trouble| trouble.message.clone())
    }

    /// Notes what is wrong; returns whether that is new.
    pub(super) fn record_failure(&self, what: String) -> bool {
        let mut known = self.failure.lock();
        let is_new =
            known.as_ref().is_none_or(|known| known.message != what || self.is_resolved(known));
        *known = Some(WatchFailure { message: what, at: self.now() });
        is_new
    }

    /// Notes that all is well; returns whether that is new.
    pub(super) fn clear_failure(&self) -> bool {
        self.failure.lock().take().is_some()
    }

    /// Returns the client, overheard: whatever comes back to it is a sign of life, even what kube's
    /// watcher keeps to itself, such as bookmarks.
    pub(super) fn instrument(self: &Arc<Self>, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let health = Arc::clone(self);
        let service = tower::service_fn(move |request| {
            let (client, health) = (client.clone(), Arc::clone(&health));
            async move {
                let response = client.send(request).await?;
                let is_good = response.status().is_success();
                let note = move || {
                    if is_good {
                        health.record_activity();
                    }
                };
                note();
                let listen = move |body: kube::client::Body| {
                    body.map_frame(move |frame| {
                        note();
                        frame
                    })
                };
                Ok::<_, kube::Error>(response.map(listen))
            }
        });
        Client::new(service, namespace)
    }
}
