//! The `TraceBuffer`s.

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
    heard: Arc<RecordedChanges>,
}

/// A server with the `TraceBuffer` `web`, and a cache of it that does not run yet.
fn idle() -> Harness {
    let server = ApiServer::new();
    server.put(TRACE_BUFFERS, trace_buffer("web", "http://a:4317"));
    let heard = RecordedChanges::new();
    let defaults = SidecarDefaults { image: "i:1".into(), ..SidecarDefaults::unknown() };
    let cache = Arc::new(TraceBufferCache::new(server.client(), defaults, heard.clone()));
    Harness { server, cache, heard }
}

/// The same, running, and synced.
async fn running() -> Harness {
    let scene = idle();
    scene.run();
    wait_until("synced", || scene.cache.is_synced()).await;
    scene
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

    fn candidate(&self, name: &str) -> Arc<TraceBufferView<Sidecar>> {
        self.cache.get(&key("shop", name)).expect("it is known")
    }

    fn lists(&self) -> usize {
        self.server.seen(Verb::List, TRACE_BUFFERS)
    }

    /// Waits for a change that the server has now, as a sign that the watch works.
    async fn notices_changes(&self) {
        self.server.put(TRACE_BUFFERS, trace_buffer("sign", "http://sign:1"));
        wait_until("a change is noticed", || self.names().contains(&"sign".into())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_and_what_changes_is_known_and_told() {
    let scene = running().await;
    assert_eq!(scene.names(), ["web"]);
    assert_eq!(scene.heard.take(), ["everything"]);

    scene.server.put(TRACE_BUFFERS, trace_buffer("web", "http://b:4317"));
    wait_until("changed", || scene.endpoint("web").unwrap() == "http://b:4317").await;
    scene.server.remove(TRACE_BUFFERS, "shop", "web");
    wait_until("gone", || scene.names().is_empty()).await;

    assert_eq!(scene.heard.take(), ["tb shop/web", "tb shop/web"]);
}

#[tokio::test(start_paused = true)]
async fn a_candidate_is_built_once_for_each_change_of_the_spec() {
    let scene = running().await;
    let mut object = scene.server.get(TRACE_BUFFERS, "shop", "web").unwrap();
    object["status"] = json!({ "conditions": [] });
    let first = scene.candidate("web");
    scene.heard.take();

    scene.server.put(TRACE_BUFFERS, object);
    wait_until("told", || !scene.heard.take().is_empty()).await;
    assert!(Arc::ptr_eq(&first, &scene.candidate("web")), "only its status changed");
    let entry = scene.cache.entry(&key("shop", "web")).unwrap();
    assert!(entry.object.as_ref().unwrap().status.is_some());

    scene.server.put(TRACE_BUFFERS, trace_buffer("web", "http://b:4317"));
    wait_until("told", || !scene.heard.take().is_empty()).await;
    assert!(!Arc::ptr_eq(&first, &scene.candidate("web")));
    assert!(scene.candidate("web").sidecar.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_made_anew_under_the_same_name_is_built_anew() {
    let scene = running().await;

    scene.server.end_watches(TRACE_BUFFERS);
    scene.server.remove(TRACE_BUFFERS, "shop", "web");
    scene.server.put(TRACE_BUFFERS, trace_buffer("web", "http://new:1"));

    wait_until("rebuilt", || scene.endpoint("web").unwrap_or_default() == "http://new:1").await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_object_is_not_accepted_and_stops_nothing() {
    let scene = running().await;
    let mut broken = trace_buffer("broken", "http://a:1");
    broken["spec"]["buffer"] = json!({ "maxSpans": "many" });
    scene.server.put(TRACE_BUFFERS, broken.clone());
    scene.notices_changes().await;

    let entry = scene.cache.entry(&key("shop", "broken")).unwrap();
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
async fn what_vanished_while_history_expired_is_cleared_by_a_new_list() {
    let scene = running().await;
    scene.server.put(TRACE_BUFFERS, trace_buffer("other", "http://a:1"));
    wait_until("both known", || scene.names().len() == 2).await;
    scene.heard.take();

    let refused =
        scene.server.script(RequestMatcher::to(Verb::Watch, TRACE_BUFFERS), Fault::Refuse(503));
    scene.server.break_watches(TRACE_BUFFERS);
    scene.server.remove(TRACE_BUFFERS, "shop", "web");
    scene.server.expire();
    scene.server.lift(refused);

    wait_until("cleared", || scene.names() == ["other"]).await;
    assert_eq!(scene.heard.take(), ["everything"]);
    assert_eq!(scene.lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_watch_refused_at_its_beginning_for_lost_history_lists_anew() {
    for code in [410, 504] {
        let scene = running().await;
        scene
            .server
            .script(RequestMatcher::to(Verb::Watch, TRACE_BUFFERS).times(1), Fault::Refuse(code));
        scene.server.end_watches(TRACE_BUFFERS);

        wait_until("listed anew", || scene.lists() == 2).await;
        scene.notices_changes().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_goes_silent_is_given_up_and_resumed() {
    let scene = running().await;
    scene.notices_changes().await;
    scene.server.stall_watches(TRACE_BUFFERS);
    scene.server.put(TRACE_BUFFERS, trace_buffer("web", "http://b:4317"));
    let start = Instant::now();

    wait_until("changed", || scene.endpoint("web").unwrap() == "http://b:4317").await;
    assert!(start.elapsed() < Duration::from_secs(70), "{:?}", start.elapsed());
    assert_eq!(scene.lists(), 1, "it was resumed where it was");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_never_answered_is_given_up() {
    let scene = idle();
    scene.server.script(RequestMatcher::to(Verb::List, TRACE_BUFFERS).times(1), Fault::Stall);
    scene.server.script(RequestMatcher::to(Verb::Watch, TRACE_BUFFERS).times(1), Fault::Stall);
    scene.run();
    let start = Instant::now();

    scene.notices_changes().await;
    assert!(start.elapsed() < Duration::from_mins(4), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn duplicates_and_old_states_change_nothing() {
    let scene = running().await;
    let old = scene.server.get(TRACE_BUFFERS, "shop", "web").unwrap();
    scene.server.put(TRACE_BUFFERS, trace_buffer("web", "http://b:4317"));
    let new = scene.server.get(TRACE_BUFFERS, "shop", "web").unwrap();
    wait_until("changed", || scene.endpoint("web").unwrap() == "http://b:4317").await;
    scene.heard.take();

    for object in [&new, &old, &new] {
        scene.server.send_event(TRACE_BUFFERS, "MODIFIED", object.clone());
    }
    scene.server.send_event(TRACE_BUFFERS, "DELETED", old.clone());
    scene.server.send_event(TRACE_BUFFERS, "ADDED", old.clone());
    scene.notices_changes().await;
    assert_eq!(scene.endpoint("web").unwrap(), "http://b:4317");
    assert_eq!(scene.heard.take(), ["tb shop/sign"]);

    scene.server.remove(TRACE_BUFFERS, "shop", "web");
    wait_until("gone", || scene.names() == ["sign"]).await;
    scene.server.send_event(TRACE_BUFFERS, "MODIFIED", new);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.names(), ["sign"], "nothing comes back");
}

#[tokio::test(start_paused = true)]
async fn forbidden_names_the_missing_rule_and_goes_on_by_itself_once_it_is_there() {
    let scene = idle();
    let rule = scene.server.script(RequestMatcher::about(TRACE_BUFFERS), Fault::Refuse(403));
    scene.run();
    wait_until("trouble", || scene.cache.failure().is_some()).await;
    sleep(Duration::from_mins(5)).await;

    let trouble = scene.cache.failure().unwrap();
    assert!(
        trouble.contains("apiGroups: [\"tracebuffer.dev\"], resources: [\"tracebuffers\"]"),
        "{trouble}"
    );
    assert!(scene.lists() < 60, "{} requests in five minutes", scene.lists());
    assert!(!scene.cache.is_synced());

    scene.server.lift(rule);
    wait_until("synced", || scene.cache.is_synced()).await;
    assert_eq!(scene.cache.failure(), None);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_for_a_minute_is_served_from_memory_and_found_again() {
    let scene = running().await;
    let away = scene.server.disconnect();
    scene.server.put(TRACE_BUFFERS, trace_buffer("web", "http://b:4317"));
    sleep(Duration::from_mins(1)).await;

    assert_eq!(scene.endpoint("web").unwrap(), "http://a:4317");
    assert!(scene.cache.age() > Duration::from_secs(55), "{:?}", scene.cache.age());
    assert!(scene.cache.failure().unwrap().contains("retrying"));

    scene.server.lift(away);
    wait_until("current", || scene.endpoint("web").unwrap() == "http://b:4317").await;
    assert!(scene.cache.age() < Duration::from_secs(1));
    assert_eq!(scene.cache.failure(), None);
}

#[tokio::test(start_paused = true)]
async fn an_idle_watch_stays_fresh_by_bookmarks() {
    let scene = running().await;
    sleep(Duration::from_secs(30)).await;
    assert!(scene.cache.age() > Duration::from_secs(29));

    scene.server.bookmark(TRACE_BUFFERS);
    sleep(Duration::from_millis(10)).await;
    assert!(scene.cache.age() < Duration::from_secs(1));

    for _ in 0..100 {
        sleep(Duration::from_secs(7)).await;
        assert!(scene.cache.age() < Duration::from_secs(65), "{:?}", scene.cache.age());
    }
    assert_eq!(scene.lists(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_learns_what_the_watch_has_not_told_yet() {
    let scene = idle();

    scene.cache.refresh("shop").await.unwrap();
    assert_eq!(scene.names(), ["web"]);
    assert_eq!(scene.heard.take(), ["tb shop/web"]);

    let known: Option<ObjectKey> = scene.cache.get(&key("shop", "web")).map(|c| c.key.clone());
    assert_eq!(known, Some(key("shop", "web")));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_never_waits_longer_than_a_second() {
    let scene = idle();
    scene.server.script(RequestMatcher::to(Verb::List, TRACE_BUFFERS), Fault::Stall);
    let start = Instant::now();

    let looks = tokio::join!(scene.cache.refresh("shop"), scene.cache.refresh("shop"));
    for UnknownNamespace(why) in [looks.0.unwrap_err(), looks.1.unwrap_err()] {
        assert!(why.contains("did not answer within a second"), "{why}");
    }
    assert!(start.elapsed() <= Duration::from_millis(1010), "{:?}", start.elapsed());
    assert!(scene.names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_who_refresh_at_once_share_a_failure() {
    let scene = idle();
    let list = || RequestMatcher::to(Verb::List, TRACE_BUFFERS);
    scene.server.script(list(), Fault::DelayResponse(Duration::from_millis(100)));
    let refresh = || {
        let cache = Arc::clone(&scene.cache);
        tokio::spawn(async move { cache.refresh("shop").await })
    };
    let first = refresh();
    sleep(Duration::from_millis(50)).await;
    scene.server.script(list(), Fault::Refuse(403));
    let others: Vec<_> = (0..10).map(|_| refresh()).collect();

    first.await.unwrap().unwrap();
    for other in others {
        assert!(other.await.unwrap().is_err());
    }
    assert_eq!(scene.lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_who_refresh_at_once_share_a_list_that_began_after_they_came() {
    let scene = idle();
    let list = RequestMatcher::to(Verb::List, TRACE_BUFFERS);
    scene.server.script(list, Fault::DelayResponse(Duration::from_millis(100)));
    let refresh = || {
        let cache = Arc::clone(&scene.cache);
        tokio::spawn(async move { cache.refresh("shop").await })
    };
    let first = refresh();
    sleep(Duration::from_millis(50)).await;
    scene.server.put(TRACE_BUFFERS, trace_buffer("late", "http://a:1"));
    let others: Vec<_> = (0..100).map(|_| refresh()).collect();

    first.await.unwrap().unwrap();
    assert_eq!(scene.names(), ["web"], "its list began too early");
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(scene.names(), ["late", "web"]);
    assert_eq!(scene.lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_status_is_reported_as_such() {
    let scene = running().await;
    scene.heard.take();
    let mut object = scene.server.get(TRACE_BUFFERS, "shop", "web").unwrap();
    object["status"] = json!({ "conditions": [] });
    scene.server.put(TRACE_BUFFERS, object.clone());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.heard.take(), ["status shop/web"]);

    object["spec"]["destination"]["endpoint"] = json!("http://b:4317");
    scene.server.put(TRACE_BUFFERS, object);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.heard.take(), ["tb shop/web"]);
}
