//! A watch that recovers from every failure.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::failure::RbacRule;
use super::health::WatchHealth;

/// The maximum duration of a watch request, after which the API server ends it and it is resumed. kube
/// gives up a watch that is idle for 5 s longer.
const WATCH_TIMEOUT_SECONDS: u32 = 60;
/// The timeout of a single request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The time without any data after which a request is given up.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Objects per page of a list: few, because a page is in memory both as text and as objects.
pub(super) const PAGE_SIZE: u32 = 100;
/// The first and the maximum delay after an error.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// The time without an error after which the delay starts over.
const BACKOFF_RESET_AFTER: Duration = Duration::from_mins(1);

/// What is watched.
pub(super) struct WatchTarget<'a> {
    pub(super) client: Client,
    pub(super) config: watcher::Config,
    pub(super) health: &'a std::sync::Arc<WatchHealth>,
    /// The permission that the watch needs.
    pub(super) rule: RbacRule,
}

/// Watches every object of a type in the cluster, as [`watch_api_forever`] does.
pub(super) async fn watch_forever<K>(target: WatchTarget<'_>, handle: impl FnMut(Event<K>))
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watch_api_forever(target, Api::all, handle).await;
}

/// Passes every event to `handle`, indefinitely. After an error, expired history, an idle timeout or an
/// outage it resumes the watch, or lists all objects again, with a growing, random delay.
pub(super) async fn watch_api_forever<K>(
    target: WatchTarget<'_>,
    api: impl FnOnce(Client) -> Api<K>,
    mut handle: impl FnMut(Event<K>),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let WatchTarget { client, config, health, rule } = target;
    let api = api(health.instrument(client));
    let config = config.timeout(WATCH_TIMEOUT_SECONDS).page_size(PAGE_SIZE);
    let mut backoff = WatchBackoff::default();
    loop {
        let mut events = pin!(watcher(api.clone(), config.clone()));
        let mut last_item = Instant::now();
        loop {
            let item = tokio::select! {
                item = events.next() => item,
                () = idle(health, last_item) => break,
            };
            match item {
                Some(Ok(event)) => {
                    // kube reports `Init` before it sends a request.
                    if !matches!(event, Event::Init) {
                        rule.log_success(health);
                    }
                    handle(event);
                }
                Some(Err(error)) => {
                    rule.log_failure(health, &error);
                    if requires_relist(&error) {
                        break;
                    }
                    sleep(backoff.next()).await;
                }
                None => break,
            }
            last_item = Instant::now();
        }
        sleep(backoff.next()).await;
    }
}

/// The delay between attempts. kube's own back-off starts over with every `Init`, so that a rejected
/// list request would be repeated every second.
#[derive(Default)]
pub(super) struct WatchBackoff {
    errors: u32,
    last: Option<Instant>,
}

impl WatchBackoff {
    pub(super) fn next(&mut self) -> Duration {
        if self.last.is_some_and(|last| last.elapsed() > BACKOFF_RESET_AFTER) {
            self.errors = 0;
        }
        self.last = Some(Instant::now());
        let max_delay = INITIAL_BACKOFF.saturating_mul(1 << self.errors.min(16)).min(MAX_BACKOFF);
        self.errors = self.errors.saturating_add(1);
        max_delay.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// Returns when neither the watch nor the connection has received anything for [`IDLE_TIMEOUT`].
async fn idle(health: &WatchHealth, last_item: Instant) {
    loop {
        let idle = health.age().min(last_item.elapsed());
        if idle >= IDLE_TIMEOUT {
            return;
        }
        sleep(IDLE_TIMEOUT.saturating_sub(idle)).await;
    }
}

/// Returns whether the watch would request the same expired history again. kube lists again only if a
/// running watch ends with `410`, but not if a watch request is rejected with it, nor if the cluster
/// was restored from a backup older than the requested version (`504`).
fn requires_relist(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status))
        if status.code == 410 || status.code == 504)
}
