//! The cache of `TraceBuffer`s.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use tracebuffer::adapters::kubernetes::sidecar::{Sidecar, SidecarDefaults};
use tracebuffer::adapters::kubernetes::watch::TraceBufferCache;
use tracebuffer::domain::operator::injection::trace_buffer_view::{
    TraceBufferLister, TraceBufferView,
};
use tracebuffer::domain::operator::object_key::ObjectKey;
use tracebuffer::ports::operator::catalog::UnknownNamespace;

use super::cluster::{RecordedChanges, TRACE_BUFFERS, key, trace_buffer, wait_until};
use crate::support::api_server::{ApiServer, Fault, RequestMatcher, Verb};

struct Harness {
    server: ApiServer,
    cache: Arc<TraceBufferCache>,
    changes: Arc<RecordedChanges>,
}

/// A server with the `TraceBuffer` `web`, and a cache that does not run yet.
fn idle() -> Harness {
    let server = ApiServer::new();
    server.put(TRACE_BUFFERS, trace_buffer("web", "http://a:4317"));
    let changes = RecordedChanges::new();
    let defaults = SidecarDefaults { image: "i:1".into(), ..SidecarDefaults::unknown() };
    let cache = Arc::new(TraceBufferCache::new(server.client(), defaults, changes.clone()));
    Harness { server, cache, changes }
}

/// The same with a running, synced cache.
async fn running() -> Harness {
    let harness = idle();
    harness.run();
    wait_until("synced", || harness.cache.is_synced()).await;
    harness
}

impl Harness {
    fn run(&self) {
        let cache = Arc::clone(&self.cache);
        tokio::spawn(async move { cache.run().await });
    }

    fn names(&self) -> Vec<String> {
        self.cache.names_in("shop")
    }

    fn endpoint(&self, name: &str) -> Option<String> {
        let entry = self.cache.entry(&key("shop", name))?;
        entry.object.as_ref().map(|object| object.spec.destination.endpoint.clone())
    }

    fn view(&self, name: &str) -> Arc<TraceBufferView<Sidecar>> {
        self.cache.get(&key("shop", name)).expect("it is cached")
    }

    fn lists(&self) -> usize {
        self.server.seen(Verb::List, TRACE_BUFFERS)
    }

    /// Makes a change and waits until the cache has it, which shows that the watch works.
    async fn notices_changes(&self) {
        self.server.put(TRACE_BUFFERS, trace_buffer("sign", "http://sign:1"));
        wait_until("a change is noticed", || self.names().contains(&"sign".into())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn listed_and_changed_trace_buffers_are_cached_and_reported() {
    let harness = running().await;
    assert_eq!(harness.names(), ["web"]);
    assert_eq!(harness.changes.take(), ["everything"]);

    harness.server.put(TRACE_BUFFERS, trace_buffer("web", "http://b:4317"));
    wait_until("changed", || harness.endpoint("web").unwrap() == "http://b:4317").await;
    harness.server.remove(TRACE_BUFFERS, "shop", "web");
    wait_until("gone", || harness.names().is_empty()).await;

    assert_eq!(harness.changes.take(), ["tb shop/web", "tb shop/web"]);
}

#[tokio::test(start_paused = true)]
async fn a_view_is_built_once_for_each_change_of_the_spec() {
    let harness = running().await;
    let mut object = harness.server.get(TRACE_BUFFERS, "shop", "web").unwrap();
    object["status"] = json!({ "conditions": [] });
    let first = harness.view("web");
    harness.changes.take();

    harness.server.put(TRACE_BUFFERS, object);
    wait_until("reported", || !harness.changes.take().is_empty()).await;
    assert!(Arc::ptr_eq(&first, &harness.view("web")), "only its status changed");
    let entry = harness.cache.entry(&key("shop", "web")).unwrap();
    assert!(entry.object.as_ref().unwrap().status.is_some());

    harness.server.put(TRACE_BUFFERS, trace_buffer("web", "http://b:4317"));
    wait_until("reported", || !harness.changes.take().is_empty()).await;
    assert!(!Arc::ptr_eq(&first, &harness.view("web")));
    assert!(harness.view("web").sidecar.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_view_is_built_again_for_a_trace_buffer_that_is_created_again() {
    let harness = running().await;

    harness.server.end_watches(TRACE_BUFFERS);
    harness.server.remove(TRACE_BUFFERS, "shop", "web");
    harness.server.put(TRACE_BUFFERS, trace_buffer("web", "http://new:1"));

    wait_until("rebuilt", || harness.endpoint("web").unwrap_or_default() == "http://new:1").await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_object_is_rejected_and_does_not_affect_others() {
    let harness = running().await;
    let mut broken = trace_buffer("broken", "http://a:1");
    broken["spec"]["buffer"] = json!({ "maxSpans": "many" });
    harness.server.put(TRACE_BUFFERS, broken.clone());
    harness.notices_changes().await;

    let entry = harness.cache.entry(&key("shop", "broken")).unwrap();
    assert!(entry.object.is_none());
    assert_eq!(entry.metadata.generation, Some(1));
    let why = entry.view.sidecar.as_ref().unwrap_err();
    assert!(why.contains("cannot be read as a TraceBuffer") && why.contains("many"), "{why}");

    let fresh = idle();
    fresh.server.put(TRACE_BUFFERS, broken);
    fresh.run();
    wait_until("synced", || fresh.cache.is_synced()).await;
    assert_eq!(fresh.names(), ["broken", "web"]);
}

#[tokio::test(start_paused = true)]
async fn a_relist_removes_objects_deleted_while_the_history_expired() {
    let harness = running().await;
    harness.server.put(TRACE_BUFFERS, trace_buffer("other", "http://a:1"));
    wait_until("both known", || harness.names().len() == 2).await;
    harness.changes.take();

    let refused =
        harness.server.script(RequestMatcher::to(Verb::Watch, TRACE_BUFFERS), Fault::Refuse(503));
    harness.server.break_watches(TRACE_BUFFERS);
    harness.server.remove(TRACE_BUFFERS, "shop", "web");
    harness.server.expire();
    harness.server.lift(refused);

    wait_until("cleared", || harness.names() == ["other"]).await;
    assert_eq!(harness.changes.take(), ["everything"]);
    assert_eq!(harness.lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_watch_rejected_for_expired_history_lists_again() {
    for code in [410, 504] {
        let harness = running().await;
        harness
            .server
            .script(RequestMatcher::to(Verb::Watch, TRACE_BUFFERS).times(1), Fault::Refuse(code));
        harness.server.end_watches(TRACE_BUFFERS);

        wait_until("listed again", || harness.lists() == 2).await;
        harness.notices_changes().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_history_is_no_failure() {
    let harness = running().await;
    harness.server.expire();
    harness.server.end_watches(TRACE_BUFFERS);

    wait_until("listed again", || {
        assert_eq!(harness.cache.failure(), None);
        harness.lists() == 2
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_watch_times_out_and_is_resumed() {
    let harness = running().await;
    harness.notices_changes().await;
    harness.server.stall_watches(TRACE_BUFFERS);
    harness.server.put(TRACE_BUFFERS, trace_buffer("web", "http://b:4317"));
    let start = Instant::now();

    wait_until("changed", || harness.endpoint("web").unwrap() == "http://b:4317").await;
    assert!(start.elapsed() < Duration::from_secs(70), "{:?}", start.elapsed());
    assert_eq!(harness.lists(), 1, "the watch was resumed without a list");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_response_times_out() {
    let harness = idle();
    harness.server.script(RequestMatcher::to(Verb::List, TRACE_BUFFERS).times(1), Fault::Stall);
    harness.server.script(RequestMatcher::to(Verb::Watch, TRACE_BUFFERS).times(1), Fault::Stall);
    harness.run();
    let start = Instant::now();

    harness.notices_changes().await;
    assert!(start.elapsed() < Duration::from_mins(4), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn duplicate_and_outdated_events_change_nothing() {
    let harness = running().await;
    let old = harness.server.get(TRACE_BUFFERS, "shop", "web").unwrap();
    harness.server.put(TRACE_BUFFERS, trace_buffer("web", "http://b:4317"));
    let new = harness.server.get(TRACE_BUFFERS, "shop", "web").unwrap();
    wait_until("changed", || harness.endpoint("web").unwrap() == "http://b:4317").await;
    harness.changes.take();

    for object in [&new, &old, &new] {
        harness.server.send_event(TRACE_BUFFERS, "MODIFIED", object.clone());
    }
    harness.server.send_event(TRACE_BUFFERS, "DELETED", old.clone());
    harness.server.send_event(TRACE_BUFFERS, "ADDED", old.clone());
    harness.notices_changes().await;
    assert_eq!(harness.endpoint("web").unwrap(), "http://b:4317");
    assert_eq!(harness.changes.take(), ["tb shop/sign"]);

    harness.server.remove(TRACE_BUFFERS, "shop", "web");
    wait_until("gone", || harness.names() == ["sign"]).await;
    harness.server.send_event(TRACE_BUFFERS, "MODIFIED", new);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(harness.names(), ["sign"], "outdated events restore nothing");
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_watch_names_the_missing_rule_and_recovers_once_it_is_granted() {
    let harness = idle();
    let rule = harness.server.script(RequestMatcher::about(TRACE_BUFFERS), Fault::Refuse(403));
    harness.run();
    wait_until("failure", || harness.cache.failure().is_some()).await;
    sleep(Duration::from_mins(5)).await;

    let failure = harness.cache.failure().unwrap();
    assert!(
        failure.contains("apiGroups: [\"tracebuffer.dev\"], resources: [\"tracebuffers\"]"),
        "{failure}"
    );
    assert!(harness.lists() < 60, "{} requests in five minutes", harness.lists());
    assert!(!harness.cache.is_synced());

    harness.server.lift(rule);
    wait_until("synced", || harness.cache.is_synced()).await;
    assert_eq!(harness.cache.failure(), None);
}

#[tokio::test(start_paused = true)]
async fn the_cache_survives_an_outage_of_a_minute_and_catches_up() {
    let harness = running().await;
    let outage = harness.server.disconnect();
    harness.server.put(TRACE_BUFFERS, trace_buffer("web", "http://b:4317"));
    sleep(Duration::from_mins(1)).await;

    assert_eq!(harness.endpoint("web").unwrap(), "http://a:4317");
    assert!(harness.cache.age() > Duration::from_secs(55), "{:?}", harness.cache.age());
    assert!(harness.cache.failure().unwrap().contains("retrying"));

    harness.server.lift(outage);
    wait_until("current", || harness.endpoint("web").unwrap() == "http://b:4317").await;
    assert!(harness.cache.age() < Duration::from_secs(1));
    assert_eq!(harness.cache.failure(), None);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_keep_a_quiet_watch_alive() {
    let harness = running().await;
    sleep(Duration::from_secs(30)).await;
    assert!(harness.cache.age() > Duration::from_secs(29));

    harness.server.bookmark(TRACE_BUFFERS);
    sleep(Duration::from_millis(10)).await;
    assert!(harness.cache.age() < Duration::from_secs(1));

    for _ in 0..100 {
        sleep(Duration::from_secs(7)).await;
        assert!(harness.cache.age() < Duration::from_secs(65), "{:?}", harness.cache.age());
    }
    assert_eq!(harness.lists(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_finds_what_the_watch_has_not_reported_yet() {
    let harness = idle();

    harness.cache.refresh("shop").await.unwrap();
    assert_eq!(harness.names(), ["web"]);
    assert_eq!(harness.changes.take(), ["tb shop/web"]);

    let known: Option<ObjectKey> = harness.cache.get(&key("shop", "web")).map(|c| c.key.clone());
    assert_eq!(known, Some(key("shop", "web")));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_during_a_relist_keeps_no_object_that_the_relist_does_not_contain() {
    let harness = idle();
    let list = RequestMatcher::to(Verb::List, TRACE_BUFFERS).times(1);
    harness.server.script(list, Fault::Delay(Duration::from_millis(100)));
    harness.run();
    sleep(Duration::from_millis(1)).await;

    harness.cache.refresh("shop").await.unwrap();
    assert_eq!(harness.names(), ["web"]);
    harness.server.remove(TRACE_BUFFERS, "shop", "web");

    wait_until("synced", || harness.cache.is_synced()).await;
    assert!(harness.names().is_empty(), "{:?}", harness.names());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_a_relist_overtakes_lists_again() {
    let harness = idle();
    let list = RequestMatcher::to(Verb::List, TRACE_BUFFERS).times(1);
    harness.server.script(list, Fault::DelayResponse(Duration::from_millis(100)));
    let cache = Arc::clone(&harness.cache);
    let refresh = tokio::spawn(async move { cache.refresh("shop").await });
    sleep(Duration::from_millis(1)).await;

    harness.server.remove(TRACE_BUFFERS, "shop", "web");
    harness.server.put(TRACE_BUFFERS, trace_buffer("other", "http://a:1"));
    harness.run();

    refresh.await.unwrap().unwrap();
    assert_eq!(harness.names(), ["other"]);
    assert_eq!(harness.lists(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_never_waits_longer_than_a_second() {
    let harness = idle();
    harness.server.script(RequestMatcher::to(Verb::List, TRACE_BUFFERS), Fault::Stall);
    let start = Instant::now();

    let results = tokio::join!(harness.cache.refresh("shop"), harness.cache.refresh("shop"));
    for UnknownNamespace(why) in [results.0.unwrap_err(), results.1.unwrap_err()] {
        assert!(why.contains("did not answer within a second"), "{why}");
    }
    assert!(start.elapsed() <= Duration::from_millis(1010), "{:?}", start.elapsed());
    assert!(harness.names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn concurrent_refreshes_share_a_failure() {
    let harness = idle();
    let list = || RequestMatcher::to(Verb::List, TRACE_BUFFERS);
    harness.server.script(list(), Fault::DelayResponse(Duration::from_millis(100)));
    let refresh = || {
        let cache = Arc::clone(&harness.cache);
        tokio::spawn(async move { cache.refresh("shop").await })
    };
    let first = refresh();
    sleep(Duration::from_millis(50)).await;
    harness.server.script(list(), Fault::Refuse(403));
    let others: Vec<_> = (0..10).map(|_| refresh()).collect();

    first.await.unwrap().unwrap();
    for other in others {
        assert!(other.await.unwrap().is_err());
    }
    assert_eq!(harness.lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn concurrent_refreshes_share_a_list_that_started_after_they_arrived() {
    let harness = idle();
    let list = RequestMatcher::to(Verb::List, TRACE_BUFFERS);
    harness.server.script(list, Fault::DelayResponse(Duration::from_millis(100)));
    let refresh = || {
        let cache = Arc::clone(&harness.cache);
        tokio::spawn(async move { cache.refresh("shop").await })
    };
    let first = refresh();
    sleep(Duration::from_millis(50)).await;
    harness.server.put(TRACE_BUFFERS, trace_buffer("late", "http://a:1"));
    let others: Vec<_> = (0..100).map(|_| refresh()).collect();

    first.await.unwrap().unwrap();
    assert_eq!(harness.names(), ["web"], "the list started too early");
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(harness.names(), ["late", "web"]);
    assert_eq!(harness.lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_status_is_reported_as_such() {
    let harness = running().await;
    harness.changes.take();
    let mut object = harness.server.get(TRACE_BUFFERS, "shop", "web").unwrap();
    object["status"] = json!({ "conditions": [] });
    harness.server.put(TRACE_BUFFERS, object.clone());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(harness.changes.take(), ["status shop/web"]);

    object["spec"]["destination"]["endpoint"] = json!("http://b:4317");
    harness.server.put(TRACE_BUFFERS, object);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(harness.changes.take(), ["tb shop/web"]);
}
