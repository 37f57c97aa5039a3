//! A watch that never ends.

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

/// The longest a watch lasts before the API server ends it and it is resumed; kube takes a watch
/// that is silent for 5 s more as dead.
const WATCH_TIMEOUT_SECONDS: u32 = 60;
/// The longest a single request may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence after which a request without an answer is given up.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Objects listed at a time: few, because a page is in memory as text and as objects at once.
pub(super) const PAGE_SIZE: u32 = 100;
/// The first and the longest pause after an error.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// Time without an error after which pauses are short again.
const BACKOFF_RESET_AFTER: Duration = Duration::from_mins(1);

/// What is watched.
pub(super) struct WatchTarget<'a> {
    pub(super) client: Client,
    pub(super) config: watcher::Config,
    pub(super) health: &'a std::sync::Arc<WatchHealth>,
    /// What must be allowed for it.
    pub(super) rule: RbacRule,
}

/// Watches every object of a type in the cluster, as [`watch_api_forever`] does.
pub(super) async fn watch_forever<K>(target: WatchTarget<'_>, take: impl FnMut(Event<K>))
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watch_api_forever(target, Api::all, take).await;
}

/// Hands every event to `take`, for ever: after errors, expiry, silence and outages it goes on, from
/// where it was or with a new list, with growing, random pauses.
pub(super) async fn watch_api_forever<K>(
    watched: WatchTarget<'_>,
    api: impl FnOnce(Client) -> Api<K>,
    mut take: impl FnMut(Event<K>),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let WatchTarget { client, config, health, rule } = watched;
    let api = api(health.instrument(client));
    let config = config.timeout(WATCH_TIMEOUT_SECONDS).page_size(PAGE_SIZE);
    let mut pauses = WatchBackoff::default();
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
                    // It says `Init` before it has asked for anything.
                    if !matches!(event, Event::Init) {
                        rule.log_success(health);
                    }
                    take(event);
                }
                Some(Err(error)) => {
                    rule.log_failure(health, &error);
                    if requires_relist(&error) {
                        break;
                    }
                    sleep(pauses.next()).await;
                }
                None => break,
            }
            last_item = Instant::now();
        }
        sleep(pauses.next()).await;
    }
}

/// Pauses between tries: kube's own start over with every `Init`, so that a list that is refused
/// would be asked for every second.
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
        let whole = INITIAL_BACKOFF.saturating_mul(1 << self.errors.min(16)).min(MAX_BACKOFF);
        self.errors = self.errors.saturating_add(1);
        whole.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// Ends when neither the watch nor the connection has said anything for too long.
async fn idle(health: &WatchHealth, last_item: Instant) {
    loop {
        let silent = health.age().min(last_item.elapsed());
        if silent >= IDLE_TIMEOUT {
            return;
        }
        sleep(IDLE_TIMEOUT.saturating_sub(silent)).await;
    }
}

/// Returns whether the watch would ask for the same lost history again: kube starts over only where
/// a watch ends with `410`, not where it begins with it, nor where a restored cluster is younger
/// than what was seen of it (`504`).
fn requires_relist(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status))
        if status.code == 410 || status.code == 504)
}
