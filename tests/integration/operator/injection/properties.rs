//! Properties of the injection of any pod: patches only add, injection is idempotent, a restricted pod
//! stays restricted, and no part of a pod is lost.

use super::cluster::{AdmittedPod, Cluster, NAMESPACE, trace_buffer};
use super::restricted::violations;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use tracebuffer::adapters::kubernetes::pod::{InjectionOutcome, pod_facts};
use tracebuffer::domain::operator::injection::skip::SkipReason;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

const CONTAINERS: [&str; 9] = [
    "web",
    "a/b~c",
    "istio-proxy",
    "istio-init",
    "linkerd-proxy",
    "vault-agent",
    "otc-container",
    "log",
    "migrate",
];

const SPECS: [fn() -> Value; 6] = [
    || json!({}),
    || json!({"sidecar": {"mode": "Container", "imagePullSecrets": [{"name": "s0"}, {"name": "s9"}]}}),
    || json!({"sidecar": {"mode": "Native", "applicationEnvironment": "Never"}}),
    || json!({"sidecar": {"resources": {"limits": {"memory": "64Mi"}}}, "drainTimeout": "120s"}),
    || json!({"sidecar": {"securityContext": {}}, "buffer": {"maxAge": "1h"}}),
    || {
        let reference = json!({"name": "keys", "key": "ca.crt"});
        json!({"destination": {"endpoint": "https://collector:4317", "tls": {"ca": {"secretKeyRef": reference}}}})
    },
];

fn clusters() -> impl Strategy<Value = Cluster> {
    select(&SPECS[..]).prop_map(|spec| Cluster {
        trace_buffers: vec![trace_buffer(NAMESPACE, "default", spec())],
    })
}

/// Any small JSON value.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z/~é\\-]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-z/~]{1,3}", inner, 0..3)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

/// Absent, null, or one of `values`.
fn optional(values: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    prop_oneof![1 => Just(None), 1 => Just(Some(Value::Null)), 4 => values.prop_map(Some)].boxed()
}

/// One of `values` in most cases.
fn mostly(values: BoxedStrategy<Value>) -> BoxedStrategy<Option<Value>> {
    prop_oneof![1 => Just(None), 9 => always(values)].boxed()
}

fn always(values: BoxedStrategy<Value>) -> BoxedStrategy<Option<Value>> {
    values.prop_map(Some).boxed()
}

/// An object with these members and unknown ones.
fn map(members: Vec<(&'static str, BoxedStrategy<Option<Value>>)>) -> BoxedStrategy<Value> {
    let (keys, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    (values, btree_map("x-[a-z/~]{1,3}", anything(), 0..2))
        .prop_map(move |(values, unknown)| {
            let known = keys
                .iter()
                .zip(values)
                .filter_map(|(key, value)| Some(((*key).to_owned(), value?)));
            Value::Object(known.chain(unknown).collect::<Map<_, _>>())
        })
        .boxed()
}

fn one_of(values: Vec<Value>) -> BoxedStrategy<Option<Value>> {
    optional(select(values))
}

fn named(names: &'static [&'static str]) -> BoxedStrategy<Option<Value>> {
    select(names).prop_map(|name| Some(json!(name))).boxed()
}

fn variables() -> BoxedStrategy<Option<Value>> {
    let variable = map(vec![
        ("name", named(&[ENDPOINT, "OTEL_TRACES_EXPORTER", "A", "B"])),
        (
            "value",
            one_of(vec![json!(""), json!("none"), json!("http://127.0.0.1:4317"), json!("$(A)")]),
        ),
        ("valueFrom", one_of(vec![json!({"fieldRef": {"fieldPath": "metadata.name"}})])),
    ]);
    optional(vec(variable, 0..3).prop_map(Value::from))
}

fn containers() -> BoxedStrategy<Option<Value>> {
    let amounts = json!({"cpu": "1", "memory": "1Gi"});
    let safe = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let container = map(vec![
        ("name", named(&CONTAINERS)),
        ("env", variables()),
        ("envFrom", one_of(vec![json!([]), json!([{"configMapRef": {"name": "c"}}])])),
        ("ports", one_of(vec![json!([{"containerPort": 80}]), json!([{"containerPort": 4318}])])),
        ("resources", one_of(vec![json!({"limits": amounts, "requests": amounts}), json!({})])),
        ("restartPolicy", one_of(vec![json!("Always")])),
        ("securityContext", one_of(vec![safe, json!({"privileged": true})])),
    ]);
    optional(vec(container, 0..4).prop_map(Value::from))
}

fn specs() -> BoxedStrategy<Value> {
    let volume = map(vec![
        ("name", named(&["v1", "v2"])),
        ("emptyDir", one_of(vec![json!({})])),
        ("hostPath", one_of(vec![json!({"path": "/"})])),
    ]);
    let secret = map(vec![("name", named(&["s0", "s1"]))]);
    map(vec![
        ("containers", containers()),
        ("initContainers", containers()),
        ("volumes", optional(vec(volume, 0..3).prop_map(Value::from))),
        ("imagePullSecrets", optional(vec(secret, 0..3).prop_map(Value::from))),
        ("restartPolicy", one_of(vec![json!("Always"), json!("Never")])),
        ("hostNetwork", one_of(vec![json!(false), json!(false), json!(true)])),
        ("terminationGracePeriodSeconds", one_of(vec![json!(1), json!(60)])),
        ("resources", one_of(vec![json!({"limits": {"memory": "2Gi"}}), json!({})])),
    ])
}

fn pods() -> impl Strategy<Value = Value> {
    let asks = select(vec!["true", "true", "default", "shop/default", "false", "?"]);
    let asks = asks.prop_map(|value| Some(json!(value))).boxed();
    let forged = || option::of(Just(json!("forged"))).boxed();
    let annotations = map(vec![
        ("tracebuffer.dev/inject", asks),
        ("tracebuffer.dev/status", forged()),
        ("tracebuffer.dev/limits", forged()),
    ]);
    let labels = map(vec![("tracebuffer.dev/injected", forged())]);
    let metadata = map(vec![
        ("annotations", mostly(annotations)),
        ("labels", optional(labels)),
        ("uid", one_of(vec![json!("u")])),
    ]);
    map(vec![
        ("kind", one_of(vec![json!("Pod")])),
        ("metadata", mostly(metadata)),
        ("spec", always(specs())),
    ])
}

fn listed(pod: &mut Value) -> Option<&mut Vec<Value>> {
    pod.pointer_mut("/spec/containers")?.as_array_mut()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_injection_is_idempotent(pod in pods(), cluster in clusters()) {
        let once = cluster.admit(&pod);
        let twice = cluster.admit(&once.pod);

        prop_assert_eq!(&twice.pod, &once.pod);
        if matches!(once.outcome, InjectionOutcome::Injected(_)) {
            prop_assert_eq!(twice.outcome, InjectionOutcome::Skipped(SkipReason::AlreadyInjected));
        } else {
            prop_assert_eq!(twice.outcome, once.outcome);
        }
        prop_assert!(once.warnings.iter().all(|text| text.len() < 256 && text.starts_with("tracebuffer: ")));
    }

    #[test]
    fn a_restricted_pod_stays_restricted(pod in pods(), cluster in clusters()) {
        let AdmittedPod { pod: injected, .. } = cluster.admit(&pod);

        prop_assert_eq!(violations(&injected), violations(&pod));
    }

    #[test]
    fn a_container_added_by_another_webhook_gets_only_the_endpoint(
        pod in pods(), cluster in clusters(), first in any::<bool>(),
    ) {
        let once = cluster.admit(&pod).pod;
        let mut more = once.clone();
        let Some(containers) = listed(&mut more) else { return Ok(()) };
        containers.insert(if first { 0 } else { containers.len() }, json!({"name": "late"}));
        let AdmittedPod { pod: mut completed, outcome, .. } = cluster.admit(&more);

        if outcome == InjectionOutcome::Skipped(SkipReason::AlreadyInjected) {
            let containers = listed(&mut completed).expect("the containers are kept");
            let at = containers.iter().position(|one| one["name"] == "late").expect("it exists");
            let has_endpoint = containers.remove(at)["env"][0]["name"] == ENDPOINT;
            prop_assert_eq!(completed, once);
            let sidecar = cluster.trace_buffers[0].sidecar.as_ref().expect("accepted");
            prop_assert_eq!(has_endpoint, sidecar.application_endpoint.is_some());
        }
    }

    #[test]
    fn no_json_in_place_of_a_pod_causes_a_panic(anything in anything(), spec in anything()) {
        let _ = pod_facts(&anything);
        let _ = pod_facts(&json!({"metadata": anything, "spec": spec}));
    }
}

#[test]
fn the_generated_pods_cover_every_relevant_case() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut outcomes = std::collections::BTreeMap::new();
    for _ in 0..500 {
        let pod = pods().new_tree(&mut runner).expect("a pod").current();
        let cluster = clusters().new_tree(&mut runner).expect("a cluster").current();
        let word = match cluster.admit(&pod).outcome {
            InjectionOutcome::Injected(_) => "Injected",
            InjectionOutcome::Skipped(reason) => reason.as_str(),
        };
        *outcomes.entry(word).or_insert(0) += 1;
    }
    for (word, least) in
        [("Injected", 50), ("HostNetwork", 10), ("NeedsNativeSidecar", 5), ("PortClash", 5)]
    {
        assert!(outcomes.get(word).is_some_and(|count| *count >= least), "{outcomes:?}");
    }
}
