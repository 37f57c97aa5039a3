//! After any faults and changes in any order, the caches equal the state of the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::sleep;
use tracebuffer::adapters::kubernetes::sidecar::SidecarDefaults;
use tracebuffer::adapters::kubernetes::watch::{NamespaceCache, PodCache, TraceBufferCache};
use tracebuffer::ports::operator::pods::PodLister;

use super::cluster::{RecordedChanges, TRACE_BUFFERS, namespace, pod, trace_buffer};
use crate::support::api_server::{ApiServer, Fault, RequestMatcher, Verb};

const RESOURCES: [&str; 3] = [TRACE_BUFFERS, "pods", "namespaces"];

/// A change or a fault. Numbers select names and resources.
#[derive(Clone, Debug)]
enum Disturbance {
    PutTraceBuffer(usize, u8),
    BreakTraceBuffer(usize),
    PutPod(usize, u8),
    Ask(usize, bool),
    Remove(usize, usize),
    /// Sends an earlier event again.
    Repeat(usize, usize),
    End(usize),
    Break(usize),
    Stall(usize),
    /// The next requests of a kind fail.
    Fail(usize, bool, FaultKind, usize),
    Expire,
    Refresh,
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
enum FaultKind {
    Refuse(u16),
    Drop,
    DropAnswer,
    Stall,
    Delay(u64),
    DelayAnswer(u64),
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    let name = 0..4_usize;
    let resource = 0..3_usize;
    prop_oneof![
        4 => (name.clone(), any::<u8>()).prop_map(|(n, v)| Disturbance::PutTraceBuffer(n, v)),
        1 => name.clone().prop_map(Disturbance::BreakTraceBuffer),
        4 => (name.clone(), any::<u8>()).prop_map(|(n, v)| Disturbance::PutPod(n, v)),
        2 => (0..2_usize, any::<bool>()).prop_map(|(n, asks)| Disturbance::Ask(n, asks)),
        3 => (resource.clone(), name).prop_map(|(r, n)| Disturbance::Remove(r, n)),
        2 => (resource.clone(), any::<usize>()).prop_map(|(r, n)| Disturbance::Repeat(r, n)),
        1 => resource.clone().prop_map(Disturbance::End),
        1 => resource.clone().prop_map(Disturbance::Break),
        1 => resource.clone().prop_map(Disturbance::Stall),
        3 => (resource, any::<bool>(), fault_kind(), 1..4_usize)
            .prop_map(|(r, lists, kind, times)| Disturbance::Fail(r, lists, kind, times)),
        1 => Just(Disturbance::Expire),
        1 => Just(Disturbance::Refresh),
        5 => (1..20_000_u64).prop_map(Disturbance::Pass),
    ]
}

fn fault_kind() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        prop::sample::select(vec![403, 404, 410, 429, 500, 503, 504]).prop_map(FaultKind::Refuse),
        Just(FaultKind::Drop),
        Just(FaultKind::DropAnswer),
        Just(FaultKind::Stall),
        (1..5_000_u64).prop_map(FaultKind::Delay),
        (1..5_000_u64).prop_map(FaultKind::DelayAnswer),
    ]
}

struct Harness {
    server: ApiServer,
    cache: Arc<TraceBufferCache>,
    index: Arc<PodCache>,
    /// Every earlier state of the objects.
    past: BTreeMap<&'static str, Vec<Value>>,
}

impl Harness {
    fn new() -> Self {
        let server = ApiServer::new();
        let defaults = SidecarDefaults { image: "i:1".into(), ..SidecarDefaults::unknown() };
        let cache =
            Arc::new(TraceBufferCache::new(server.client(), defaults, RecordedChanges::new()));
        let namespaces = Arc::new(NamespaceCache::new(server.client(), RecordedChanges::new()));
        let index = PodCache::new(server.client(), Arc::clone(&namespaces), RecordedChanges::new());
        let index = Arc::new(index);
        let (running, also_running) = (Arc::clone(&cache), Arc::clone(&index));
        tokio::spawn(async move { running.run().await });
        tokio::spawn(async move { namespaces.run().await });
        tokio::spawn(async move { also_running.run().await });
        Self { server, cache, index, past: BTreeMap::new() }
    }

    fn put(&mut self, resource: &'static str, object: Value) {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default().to_owned();
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        self.server.put(resource, object);
        let stored = self.server.get(resource, &namespace, &name);
        self.past.entry(resource).or_default().extend(stored);
    }

    async fn disturb(&mut self, disturbance: Disturbance) {
        match disturbance {
            Disturbance::PutTraceBuffer(n, version) => {
                let endpoint = format!("http://v{version}:4317");
                self.put(TRACE_BUFFERS, trace_buffer(&format!("n{n}"), &endpoint));
            }
            Disturbance::BreakTraceBuffer(n) => {
                let mut object = trace_buffer(&format!("n{n}"), "http://a:1");
                object["spec"]["destination"] = json!(7);
                self.put(TRACE_BUFFERS, object);
            }
            Disturbance::PutPod(n, version) => self.put("pods", some_pod(n, version)),
            Disturbance::Ask(n, asks) => {
                self.put("namespaces", namespace(["shop", "bank"][n], asks));
            }
            Disturbance::Remove(r, n) => self.remove(RESOURCES[r], n),
            Disturbance::Repeat(r, n) => self.repeat(RESOURCES[r], n),
            Disturbance::End(r) => self.server.end_watches(RESOURCES[r]),
            Disturbance::Break(r) => self.server.break_watches(RESOURCES[r]),
            Disturbance::Stall(r) => self.server.stall_watches(RESOURCES[r]),
            Disturbance::Fail(r, lists, kind, times) => {
                let verb = if lists { Verb::List } else { Verb::Watch };
                self.server
                    .script(RequestMatcher::to(verb, RESOURCES[r]).times(times), fault(kind));
            }
            Disturbance::Expire => self.server.expire(),
            // If the refresh fails, the watch catches up.
            Disturbance::Refresh => _ = self.cache.refresh("shop").await,
            Disturbance::Pass(time) => sleep(Duration::from_millis(time)).await,
        }
    }

    fn remove(&self, resource: &str, n: usize) {
        match resource {
            "namespaces" => self.server.remove(resource, "", ["shop", "bank"][n % 2]),
            "pods" => self.server.remove(resource, ["shop", "bank"][n % 2], &format!("n{n}")),
            _ => self.server.remove(resource, "shop", &format!("n{n}")),
        }
    }

    /// Sends an old state of an object that must be in a cache. A server never sends old states of
    /// other objects, which the caches need not remember.
    fn repeat(&self, resource: &'static str, n: usize) {
        let wanted: Vec<_> = match resource {
            "pods" => self.stored_pods().into_iter().map(|(_, _, uid)| uid).collect(),
            TRACE_BUFFERS => self.server.all(resource).iter().map(uid_of).collect(),
            _ => return,
        };
        let all = self.past.get(resource).map_or(&[][..], Vec::as_slice);
        let is_cached =
            |old: &&Value| wanted.contains(&uid_of(old)) && old["status"]["phase"] != "Succeeded";
        let past: Vec<_> = all.iter().filter(is_cached).collect();
        if let Some(old) = past.get(n % past.len().max(1)) {
            self.server.send_event(resource, "MODIFIED", (*old).clone());
        }
    }

    fn is_consistent(&self) -> bool {
        self.known_trace_buffers() == self.stored_trace_buffers()
            && self.known_pods() == self.stored_pods()
            && self.index.is_synced()
    }

    fn known_trace_buffers(&self) -> Vec<(String, String)> {
        let entries = self.cache.all().into_iter();
        entries
            .map(|entry| {
                let version = entry.metadata.resource_version.clone().unwrap_or_default();
                (entry.view.key.name.clone(), version)
            })
            .collect()
    }

    fn stored_trace_buffers(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let stored = self.server.all(TRACE_BUFFERS).into_iter();
        stored
            .map(|object| {
                let metadata = &object["metadata"];
                (text(&metadata["name"]), text(&metadata["resourceVersion"]))
            })
            .collect()
    }

    fn known_pods(&self) -> Vec<(String, Option<String>, String)> {
        let pods = self.index.all().into_iter();
        pods.map(|pod| (pod.key.to_string(), pod.inject.clone(), pod.uid.clone())).collect()
    }

    fn stored_pods(&self) -> Vec<(String, Option<String>, String)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let asks = |namespace: &Value| {
            let namespace =
                self.server.get("namespaces", "", namespace.as_str().unwrap_or_default());
            namespace.is_some_and(|found| {
                found["metadata"]["labels"]["tracebuffer.dev/inject"] == "enabled"
            })
        };
        let stored = self.server.all("pods").into_iter();
        stored
            .filter(|pod| pod["status"]["phase"] == "Running")
            .filter_map(|pod| {
                let metadata = &pod["metadata"];
                let inject = text(&metadata["annotations"]["tracebuffer.dev/inject"]);
                let is_wanted = inject.is_some() || asks(&metadata["namespace"]);
                let key = format!("{}/{}", text(&metadata["namespace"])?, text(&metadata["name"])?);
                is_wanted.then_some((key, inject, text(&metadata["uid"])?))
            })
            .collect()
    }
}

fn uid_of(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn some_pod(n: usize, version: u8) -> Value {
    let annotations = match version % 3 {
        0 => json!({}),
        _ => json!({ "tracebuffer.dev/inject": format!("v{version}") }),
    };
    let mut object = pod(["shop", "bank"][n % 2], &format!("n{n}"), annotations);
    if version.is_multiple_of(7) {
        object["status"]["phase"] = json!("Succeeded");
    }
    object
}

fn fault(kind: FaultKind) -> Fault {
    match kind {
        FaultKind::Refuse(code) => Fault::Refuse(code),
        FaultKind::Drop => Fault::Drop,
        FaultKind::DropAnswer => Fault::DropResponse,
        FaultKind::Stall => Fault::Stall,
        FaultKind::Delay(time) => Fault::Delay(Duration::from_millis(time)),
        FaultKind::DelayAnswer(time) => Fault::DelayResponse(Duration::from_millis(time)),
    }
}

/// The most seconds in which the caches recover. A request that stalls is given up after 90 s and
/// repeated within 15 s, and requests of a resource fail one after the other.
fn patience(script: &[Disturbance]) -> usize {
    let failures = script.iter().map(|disturbance| match disturbance {
        Disturbance::Fail(_, _, _, times) => *times,
        _ => 1,
    });
    failures.sum::<usize>() * (90 + 15) + 300
}

async fn converges(script: Vec<Disturbance>) {
    let mut harness = Harness::new();
    let patience = patience(&script);
    for disturbance in script {
        harness.disturb(disturbance).await;
    }
    for _ in 0..patience {
        if harness.is_consistent() {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(harness.known_trace_buffers(), harness.stored_trace_buffers());
    assert_eq!(harness.known_pods(), harness.stored_pods());
    assert!(harness.index.is_synced());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_caches_equal_the_state_of_the_server_after_any_script(
        script in prop::collection::vec(disturbance(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(converges(script));
    }
}
