//! One replica leads at a time, whatever happens to the API server, the network and the clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::api_server::{ApiServer, Fault, RequestMatcher, Verb};
use fastrand::Rng;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracebuffer::adapters::kubernetes::lease::KubeLeaseStore;
use tracebuffer::application::operator::elect::LeaderElector;
use tracebuffer::domain::operator::lease::{ElectionTimings, LeaseUpdate};
use tracebuffer::ports::clock::MonotonicClock;
use tracebuffer::ports::operator::lease::{LeaseError, LeaseStore};

mod requests;

const LEASES: &str = "leases.coordination.k8s.io";
const SECOND: Duration = Duration::from_secs(1);

/// A clock with its own offset and rate.
struct SkewedClock {
    start: Instant,
    offset: Duration,
    rate: f64,
}

impl MonotonicClock for SkewedClock {
    fn now(&self) -> Duration {
        self.offset + self.start.elapsed().mul_f64(self.rate)
    }
}

/// A running elector.
struct RunningElector {
    is_leading: tokio::sync::watch::Receiver<bool>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl RunningElector {
    fn start(server: &ApiServer, name: &str, rate: f64) -> Self {
        Self::start_for(server, "tracebuffer", name, rate)
    }

    fn start_for(server: &ApiServer, lease: &str, name: &str, rate: f64) -> Self {
        let store = Arc::new(KubeLeaseStore::new(server.client(), "ops", lease));
        let offset = Duration::from_secs(fastrand::u64(..1_000_000));
        let clock = Arc::new(SkewedClock { start: Instant::now(), offset, rate });
        let times = ElectionTimings::default();
        let elector =
            LeaderElector::new(store, clock, name.to_owned(), times, || fastrand::u64(..));
        let is_leading = elector.is_leading();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            elector
                .run(async {
                    if stopped.await.is_err() {
                        std::future::pending::<()>().await;
                    }
                })
                .await;
        });
        Self { is_leading, stop: Some(stop), task }
    }

    fn leads(&self) -> bool {
        *self.is_leading.borrow()
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.await.unwrap();
    }

    /// Ends the elector without releasing the lease.
    fn kill(self) {
        self.task.abort();
    }
}

async fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    let wait = async {
        while !is_true() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(Duration::from_mins(5), wait).await.is_ok(), "timed out: {what}");
    start.elapsed()
}

fn holder(server: &ApiServer) -> Value {
    server.get(LEASES, "ops", "tracebuffer").unwrap()["spec"]["holderIdentity"].clone()
}

#[tokio::test(start_paused = true)]
async fn the_first_replica_leads_at_once_and_the_second_waits() {
    let server = ApiServer::new();
    let first = RunningElector::start(&server, "a", 1.0);
    assert!(wait_until("leads", || first.leads()).await < SECOND);
    let second = RunningElector::start(&server, "b", 1.0);
    sleep(Duration::from_mins(10)).await;

    assert!(first.leads() && !second.leads());
    let lease = server.get(LEASES, "ops", "tracebuffer").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "a");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 15);
    assert_eq!(lease["spec"]["leaseTransitions"], 0);
    assert!(lease["spec"]["acquireTime"].is_string() && lease["spec"]["renewTime"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_dead_leader_is_replaced_within_20_s_regardless_of_the_written_wall_clock_time() {
    for wall_clock in ["2026-01-01T00:10:00.000000Z", "1999-12-31T23:50:00.000000Z"] {
        let server = ApiServer::new();
        let first = RunningElector::start(&server, "a", 1.0);
        wait_until("leads", || first.leads()).await;
        let second = RunningElector::start(&server, "b", 1.0);
        sleep(7 * SECOND).await;
        first.kill();
        let mut lease = server.get(LEASES, "ops", "tracebuffer").unwrap();
        lease["spec"]["renewTime"] = json!(wall_clock);
        server.put(LEASES, lease);

        let taken = wait_until("replaced", || second.leads()).await;
        assert!(taken >= 15 * SECOND && taken <= 17 * SECOND, "{taken:?}");
        let lease = server.get(LEASES, "ops", "tracebuffer").unwrap();
        assert_eq!(lease["spec"]["leaseTransitions"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_releases_the_lease_and_the_next_leads_at_once() {
    let server = ApiServer::new();
    let first = RunningElector::start(&server, "a", 1.0);
    wait_until("leads", || first.leads()).await;
    let second = RunningElector::start(&server, "b", 1.0);
    sleep(7 * SECOND).await;
    let is_leading = first.is_leading.clone();

    first.stop().await;
    assert_ne!(holder(&server), "a");
    assert!(!*is_leading.borrow());
    assert!(wait_until("replaced", || second.leads()).await < SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_lead_keeps_the_lease_unchanged_when_it_stops() {
    let server = ApiServer::new();
    let first = RunningElector::start(&server, "a", 1.0);
    wait_until("leads", || first.leads()).await;
    let second = RunningElector::start(&server, "b", 1.0);
    sleep(7 * SECOND).await;

    second.stop().await;
    assert_eq!(holder(&server), "a");
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_within_its_retries_when_the_server_does_not_respond() {
    let server = ApiServer::new();
    let first = RunningElector::start(&server, "a", 1.0);
    wait_until("leads", || first.leads()).await;
    server.script(RequestMatcher::any(), Fault::Stall);
    let start = Instant::now();

    first.stop().await;
    assert!(start.elapsed() <= 10 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_leader_stops_before_another_may_lead() {
    let server = ApiServer::new();
    let first = RunningElector::start(&server, "a", 1.0);
    wait_until("leads", || first.leads()).await;
    let outage = server.disconnect();

    let stopped = wait_until("stopped", || !first.leads()).await;
    assert!(stopped > 7 * SECOND && stopped <= 10 * SECOND, "{stopped:?}");
    server.lift(outage);
    assert!(
        wait_until("leads again", || first.leads()).await <= 2 * SECOND,
        "there is no other replica"
    );
}

#[tokio::test(start_paused = true)]
async fn short_outages_and_lost_responses_do_not_end_leadership() {
    let server = ApiServer::new();
    let first = RunningElector::start(&server, "a", 1.0);
    wait_until("leads", || first.leads()).await;
    let second = RunningElector::start(&server, "b", 1.0);
    let is_leading = first.is_leading.clone();
    for fault in [Fault::Drop, Fault::DropResponse, Fault::Refuse(500), Fault::Refuse(429)] {
        sleep(20 * SECOND).await;
        let rule = server.script(RequestMatcher::about(LEASES), fault);
        sleep(6 * SECOND).await;
        server.lift(rule);
    }
    server.script(RequestMatcher::to(Verb::Replace, LEASES).times(1), Fault::Stall);
    sleep(20 * SECOND).await;

    assert!(first.leads() && !second.leads());
    assert!(!is_leading.has_changed().unwrap_or(true) || *is_leading.borrow());
}

#[tokio::test(start_paused = true)]
async fn a_write_by_another_client_to_the_lease_is_kept_and_does_not_end_leadership() {
    let server = ApiServer::new();
    let first = RunningElector::start(&server, "a", 1.0);
    wait_until("leads", || first.leads()).await;
    let mut lease = server.get(LEASES, "ops", "tracebuffer").unwrap();
    lease["metadata"]["labels"] = json!({ "team": "x" });
    server.put(LEASES, lease);
    let mut was_leader = true;
    for _ in 0..300 {
        sleep(SECOND / 10).await;
        was_leader &= first.leads();
    }

    assert!(was_leader);
    let lease = server.get(LEASES, "ops", "tracebuffer").unwrap();
    assert_eq!(lease["metadata"]["labels"]["team"], "x");
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_was_overwritten_stops_at_its_next_renewal() {
    let server = ApiServer::new();
    let first = RunningElector::start(&server, "a", 1.0);
    wait_until("leads", || first.leads()).await;
    let mut lease = server.get(LEASES, "ops", "tracebuffer").unwrap();
    lease["spec"]["holderIdentity"] = json!("b");
    server.put(LEASES, lease);

    assert!(wait_until("stopped", || !first.leads()).await < 4 * SECOND);
}

/// A deposed leader decided on a state that the new leader has changed since.
#[tokio::test(start_paused = true)]
async fn a_stale_leaders_write_fails() {
    let server = ApiServer::new();
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m", "namespace": "ops" } });
    server.put("configmaps", map);
    let first = RunningElector::start(&server, "a", 1.0);
    wait_until("leads", || first.leads()).await;
    let second = RunningElector::start(&server, "b", 1.0);
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "ops");
    let seen_by_first = maps.get("m").await.unwrap();

    // The write of the first leader arrives only after the leader was replaced.
    server.script(
        RequestMatcher::to(Verb::Replace, "configmaps").times(1),
        Fault::Delay(30 * SECOND),
    );
    let late = maps.clone();
    let write =
        tokio::spawn(
            async move { late.replace("m", &PostParams::default(), &seen_by_first).await },
        );
    sleep(SECOND).await;
    first.kill();
    wait_until("replaced", || second.leads()).await;
    let mut map = maps.get("m").await.unwrap();
    map.data = Some([("by".to_owned(), "b".to_owned())].into());
    maps.replace("m", &PostParams::default(), &map).await.unwrap();

    let Err(kube::Error::Api(status)) = write.await.unwrap() else { panic!("accepted") };
    assert_eq!(status.code, 409);
    assert_eq!(server.get("configmaps", "ops", "m").unwrap()["data"]["by"], "b");
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_request_is_retried_until_it_is_allowed() {
    let server = ApiServer::new();
    let rule = server.script(RequestMatcher::about(LEASES), Fault::Refuse(403));
    let first = RunningElector::start(&server, "a", 1.0);
    sleep(Duration::from_mins(2)).await;
    assert!(!first.leads());
    assert!(server.seen(Verb::Get, LEASES) < 200);

    server.lift(rule);
    wait_until("leads", || first.leads()).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_created_is_a_failure_and_retried_slowly() {
    let server = ApiServer::new();
    // The namespace is missing.
    let rule = server.script(RequestMatcher::to(Verb::Create, LEASES), Fault::Refuse(404));
    let store = KubeLeaseStore::new(server.client(), "ops", "tracebuffer");
    let update = LeaseUpdate {
        holder: Some("a".to_owned()),
        duration: 15 * SECOND,
        transitions: 0,
        changes_holder: true,
    };
    let Err(LeaseError::Failed(reason)) = store.write(&update, None).await else {
        panic!("a lease that cannot be created is not a conflict")
    };
    assert!(reason.contains("ops") && reason.contains("the script answers 404"), "{reason}");

    let first = RunningElector::start(&server, "a", 1.0);
    sleep(Duration::from_mins(2)).await;
    assert!(server.seen(Verb::Create, LEASES) < 200, "{}", server.seen(Verb::Create, LEASES));

    server.lift(rule);
    wait_until("leads", || first.leads()).await;
}

/// Three replicas with clocks that run up to 30 % apart, and a server with a new fault each second:
/// two never lead at once, and one leads after the faults.
#[test]
fn two_replicas_never_lead_at_once_over_many_seeds() {
    let led = AtomicUsize::new(0);
    for seed in 0..200 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        led.fetch_add(runtime.block_on(run_with_faults(seed)), Ordering::Relaxed);
    }
    assert!(led.load(Ordering::Relaxed) > 200, "leaderships: {led:?}");
}

/// Runs the replicas with faults for a minute; returns how often leadership changed.
async fn run_with_faults(seed: u64) -> usize {
    let mut random = Rng::with_seed(seed);
    fastrand::seed(seed);
    let server = ApiServer::new();
    let start = |name: usize, random: &mut Rng| {
        RunningElector::start(&server, &format!("c{name}"), 0.87 + random.f64() * 0.26)
    };
    let mut electors: Vec<_> = (0..3).map(|name| start(name, &mut random)).collect();
    let mut terms = 0;
    let mut last = None;
    for second in 0..90 {
        let rule = (second < 60).then(|| server.script(RequestMatcher::any(), fault(&mut random)));
        if second < 60 && random.u32(..20) == 0 {
            let name = random.usize(..3);
            std::mem::replace(&mut electors[name], start(second + 10, &mut random)).kill();
        }
        for _ in 0..20 {
            sleep(SECOND / 20).await;
            let leaders: Vec<_> = (0..3).filter(|n| electors[*n].leads()).collect();
            assert!(leaders.len() < 2, "seed {seed}, second {second}: {leaders:?}");
            terms += usize::from(!leaders.is_empty() && last != leaders.first().copied());
            last = leaders.first().copied().or(last);
        }
        if let Some(rule) = rule {
            server.lift(rule);
        }
    }
    assert!(electors.iter().any(RunningElector::leads), "seed {seed}: no leader after the faults");
    terms
}

fn fault(random: &mut Rng) -> Fault {
    let delay = SECOND.mul_f64(random.f64() * 8.0);
    match random.u32(..12) {
        0 => Fault::Drop,
        1 => Fault::DropResponse,
        2 => Fault::Stall,
        3 => Fault::Delay(delay),
        4 => Fault::DelayResponse(delay),
        5 => Fault::Refuse(409),
        6 => Fault::Refuse(503),
        7 => Fault::Refuse(429),
        _ => Fault::PassThrough,
    }
}
