use std::slice;

use super::*;
use crate::domain::injection::facts::ClaimedPort;

#[derive(Clone, Debug, PartialEq)]
struct FakeSidecar {
    mode: SidecarMode,
    volumes: Vec<String>,
}

impl Shape for FakeSidecar {
    fn mode(&self) -> SidecarMode {
        self.mode
    }

    fn ports(&self) -> SidecarPorts {
        SidecarPorts { grpc: 4317, http: 4318, admin: 9417 }
    }

    fn volumes(&self) -> impl Iterator<Item = &str> {
        self.volumes.iter().map(String::as_str)
    }
}

fn trace_buffer(namespace: &str, name: &str) -> Candidate<FakeSidecar> {
    let sidecar =
        FakeSidecar { mode: SidecarMode::Auto, volumes: vec!["tracebuffer-pod-info".into()] };
    Candidate { key: key(namespace, name), sidecar: Ok(sidecar), allowed_namespaces: vec![] }
}

fn in_mode(mode: SidecarMode) -> Candidate<FakeSidecar> {
    let sidecar = FakeSidecar { mode, volumes: vec![] };
    Candidate { sidecar: Ok(sidecar), ..trace_buffer("shop", "default") }
}

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

fn asking(value: &str) -> PodFacts {
    PodFacts { inject: Some(value.into()), ..PodFacts::default() }
}

fn modern() -> ClusterFacts {
    ClusterFacts { native_sidecars: true, own_namespace: "operator".into() }
}

fn old() -> ClusterFacts {
    ClusterFacts { native_sidecars: false, ..modern() }
}

fn namespace(name: &str) -> NamespaceFacts {
    NamespaceFacts { name: name.into(), asks: false }
}

/// Decides for a pod of namespace `shop` on a modern cluster.
fn decided(pod: &PodFacts, known: &[Candidate<FakeSidecar>]) -> Decision<FakeSidecar> {
    decided_in(pod, &namespace("shop"), &modern(), known)
}

fn decided_in(
    pod: &PodFacts,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    known: &[Candidate<FakeSidecar>],
) -> Decision<FakeSidecar> {
    decide(pod, namespace, cluster, |wanted| {
        let is_wanted = |one: &&Candidate<FakeSidecar>| match wanted {
            Wanted::AllOf(namespace) => one.key.namespace == *namespace,
            Wanted::One(key) => one.key == *key,
        };
        known.iter().filter(is_wanted).cloned().map(Arc::new).collect()
    })
}

#[track_caller]
fn assert_skips(decision: &Decision<FakeSidecar>, reason: SkipReason, message: &str) {
    let Decision::Skip(skip) = decision else { panic!("not skipped: {decision:?}") };
    assert_eq!((skip.reason, skip.message.as_str()), (reason, message));
}

#[track_caller]
fn assert_injects(decision: &Decision<FakeSidecar>, from: &str, is_native: bool) {
    let Decision::Inject { candidate, native } = decision else { panic!("{decision:?}") };
    assert_eq!((candidate.key.to_string().as_str(), *native), (from, is_native));
}

#[test]
fn true_means_the_only_trace_buffer_of_the_namespace() {
    let known = [trace_buffer("shop", "a"), trace_buffer("other", "b")];
    assert_injects(&decided(&asking("true"), &known), "shop/a", true);
}

#[test]
fn true_means_the_one_named_default_among_several() {
    let known = [trace_buffer("shop", "a"), trace_buffer("shop", "default")];
    assert_injects(&decided(&asking("true"), &known), "shop/default", true);
}

#[test]
fn a_namespace_asks_for_a_pod_that_says_nothing() {
    let shop = NamespaceFacts { name: "shop".into(), asks: true };
    let known = [trace_buffer("shop", "a")];
    assert_injects(&decided_in(&PodFacts::default(), &shop, &modern(), &known), "shop/a", true);
}

#[test]
fn a_name_is_looked_up_in_the_pods_namespace() {
    let known = [trace_buffer("shop", "a"), trace_buffer("shop", "b")];
    assert_injects(&decided(&asking("b"), &known), "shop/b", true);
    assert_injects(&decided(&asking("shop/a"), &known), "shop/a", true);
}

#[test]
fn another_namespaces_needs_the_name_in_full_and_leave() {
    let mut shared = trace_buffer("platform", "a");
    assert_skips(
        &decided(&asking("platform/a"), slice::from_ref(&shared)),
        SkipReason::NotAllowed,
        "TraceBuffer platform/a does not allow pods of namespace shop; add shop to its \
         spec.allowedNamespaces",
    );
    for allowed in ["shop", "*"] {
        shared.allowed_namespaces = vec!["other".into(), allowed.into()];
        let known = [shared.clone()];
        assert_injects(&decided(&asking("platform/a"), &known), "platform/a", true);
        let Decision::Skip(skip) = decided(&asking("a"), &known) else { panic!("injected") };
        assert_eq!(skip.reason, SkipReason::TraceBufferNotFound);
    }
}

#[test]
fn nobody_asked() {
    assert_skips(
        &decided(&PodFacts::default(), &[]),
        SkipReason::NotRequested,
        "neither the pod's annotation tracebuffer.dev/inject nor the label of namespace shop asks \
         for a sidecar",
    );
}

#[test]
fn a_pod_opts_out_of_its_namespaces_wish() {
    let shop = NamespaceFacts { name: "shop".into(), asks: true };
    assert_skips(
        &decided_in(&asking("false"), &shop, &modern(), &[]),
        SkipReason::OptedOut,
        "the pod's annotation tracebuffer.dev/inject is \"false\"",
    );
}

#[test]
fn an_annotation_without_meaning_is_told() {
    let Decision::Skip(skip) = decided(&asking("Yes"), &[]) else { panic!("not skipped") };
    assert_eq!(skip.reason, SkipReason::InvalidAnnotation);
    assert!(skip.message.contains("\"Yes\"; allowed are"), "{}", skip.message);
}

#[test]
fn the_systems_and_the_operators_namespace_are_never_touched() {
    for name in ["kube-system", "operator"] {
        assert_skips(
            &decided_in(&asking("true"), &namespace(name), &modern(), &[trace_buffer(name, "a")]),
            SkipReason::ExcludedNamespace,
            &format!(
                "pods of namespace {name} never get a sidecar; run the application in another \
                 namespace"
            ),
        );
    }
}

#[test]
fn a_pod_with_its_sidecar_is_completed_from_the_same_trace_buffer() {
    let pod = PodFacts { sidecar: SidecarPresence::Injected(key("shop", "a")), ..asking("true") };
    let decision = decided(&pod, &[trace_buffer("shop", "a"), trace_buffer("shop", "default")]);
    let Decision::Complete(candidate) = decision else { panic!("{decision:?}") };
    assert_eq!(candidate.key, key("shop", "a"));
}

#[test]
fn a_pod_whose_sidecars_trace_buffer_is_gone_or_anothers_is_left_as_it_is() {
    for (of, known) in [("shop", vec![]), ("other", vec![trace_buffer("other", "a")])] {
        let pod = PodFacts { sidecar: SidecarPresence::Injected(key(of, "a")), ..asking("true") };
        let message = format!("the sidecar of TraceBuffer {of}/a is there already");
        assert_skips(&decided(&pod, &known), SkipReason::AlreadyInjected, &message);
    }
}

#[test]
fn a_pod_on_the_host_network_is_skipped() {
    let pod = PodFacts { host_network: true, ..asking("true") };
    assert_skips(
        &decided(&pod, &[trace_buffer("shop", "a")]),
        SkipReason::HostNetwork,
        "the pod uses the node's network (hostNetwork: true), where the sidecar's ports clash with \
         other pods'; leave hostNetwork out, or send to a receiver on the node",
    );
}

#[test]
fn what_no_trace_buffer_could_change_is_told_before_any_is_looked_for() {
    for (pod, reason) in [
        (PodFacts { windows: true, ..asking("true") }, SkipReason::Windows),
        (PodFacts { mirrors_static: true, ..asking("true") }, SkipReason::StaticPod),
        (
            PodFacts { sidecar: SidecarPresence::Foreign, ..asking("true") },
            SkipReason::NameConflict,
        ),
    ] {
        let Decision::Skip(skip) = decided(&pod, &[]) else { panic!("injected") };
        assert_eq!(skip.reason, reason);
    }
}

#[test]
fn a_namespace_without_trace_buffer_is_told() {
    assert_skips(
        &decided(&asking("true"), &[trace_buffer("other", "a")]),
        SkipReason::NoTraceBuffer,
        "namespace shop has no TraceBuffer; create one, or name one of another namespace as \
         \"<namespace>/<name>\" in annotation tracebuffer.dev/inject",
    );
}

#[test]
fn several_without_a_default_are_listed() {
    assert_skips(
        &decided(&asking("true"), &[trace_buffer("shop", "a"), trace_buffer("shop", "b")]),
        SkipReason::SeveralTraceBuffers,
        "namespace shop has several TraceBuffers and none is named default; name one in annotation \
         tracebuffer.dev/inject: a, b",
    );
}

#[test]
fn a_name_that_is_nobodys_is_told() {
    assert_skips(
        &decided(&asking("b"), &[trace_buffer("shop", "a")]),
        SkipReason::TraceBufferNotFound,
        "there is no TraceBuffer shop/b; create it, or name another in annotation \
         tracebuffer.dev/inject",
    );
}

#[test]
fn a_trace_buffer_with_mistakes_is_told_in_one_line() {
    let broken = Candidate {
        sidecar: Err("spec.a: wrong\nspec.b: wrong too\n".into()),
        ..trace_buffer("shop", "a")
    };
    assert_skips(
        &decided(&asking("true"), &[broken]),
        SkipReason::TraceBufferNotAccepted,
        "TraceBuffer shop/a has mistakes: spec.a: wrong; spec.b: wrong too",
    );
}

#[test]
fn the_mode_decides_where_there_is_a_choice() {
    for (mode, cluster, native) in [
        (SidecarMode::Auto, modern(), true),
        (SidecarMode::Auto, old(), false),
        (SidecarMode::Native, modern(), true),
        (SidecarMode::Container, modern(), false),
        (SidecarMode::Container, old(), false),
    ] {
        let decision = decided_in(&asking("true"), &namespace("shop"), &cluster, &[in_mode(mode)]);
        assert_injects(&decision, "shop/default", native);
    }
}

#[test]
fn a_native_sidecar_is_missed_where_the_cluster_has_none() {
    assert_skips(
        &decided_in(&asking("true"), &namespace("shop"), &old(), &[in_mode(SidecarMode::Native)]),
        SkipReason::NeedsNativeSidecar,
        "TraceBuffer shop/default wants a native sidecar (sidecar.mode: Native), which this cluster \
         lacks: Kubernetes 1.29 or later has them; set the mode to Auto",
    );
}

#[test]
fn a_pod_that_runs_to_completion_gets_no_plain_container() {
    let job = PodFacts { runs_to_completion: true, ..asking("true") };
    for (mode, cluster, injects) in [
        (SidecarMode::Auto, modern(), true),
        (SidecarMode::Native, modern(), true),
        (SidecarMode::Auto, old(), false),
        (SidecarMode::Container, modern(), false),
    ] {
        let decision = decided_in(&job, &namespace("shop"), &cluster, &[in_mode(mode)]);
        if injects {
            assert_injects(&decision, "shop/default", true);
        } else {
            let Decision::Skip(skip) = decision else { panic!("{decision:?}") };
            assert_eq!(skip.reason, SkipReason::NeedsNativeSidecar);
        }
    }
}

#[test]
fn a_volume_of_the_sidecars_name_is_a_conflict() {
    let pod = PodFacts { volumes: vec!["tracebuffer-pod-info".into()], ..asking("true") };
    assert_skips(
        &decided(&pod, &[trace_buffer("shop", "a")]),
        SkipReason::NameConflict,
        "a volume of the pod is named \"tracebuffer-pod-info\" like one of the sidecar's; rename it",
    );
}

#[test]
fn a_port_that_is_taken_names_container_and_field() {
    for (port, field) in
        [(4317, "receiver.grpcPort"), (4318, "receiver.httpPort"), (9417, "receiver.adminPort")]
    {
        let claimed = |port| ClaimedPort { container: "web".into(), port };
        let pod = PodFacts { ports: vec![claimed(80), claimed(port)], ..asking("true") };
        assert_skips(
            &decided(&pod, &[trace_buffer("shop", "a")]),
            SkipReason::PortClash,
            &format!(
                "container \"web\" listens on port {port}, as the sidecar would; set {field} of \
                 TraceBuffer shop/a to another, or free the port"
            ),
        );
    }
}

#[test]
fn other_ports_are_no_clash() {
    let claimed = ClaimedPort { container: "web".into(), port: 4316 };
    let pod = PodFacts { ports: vec![claimed], ..asking("true") };
    assert_injects(&decided(&pod, &[trace_buffer("shop", "a")]), "shop/a", true);
}

type Step = fn(&mut PodFacts, &mut NamespaceFacts, &mut Vec<Candidate<FakeSidecar>>);

#[test]
fn the_first_reason_in_the_documented_order_is_told() {
    let mut pod = PodFacts {
        inject: Some("false".into()),
        host_network: true,
        windows: true,
        mirrors_static: true,
        runs_to_completion: true,
        sidecar: SidecarPresence::Foreign,
        volumes: vec!["tracebuffer-pod-info".into()],
        ports: vec![ClaimedPort { container: "web".into(), port: 4317 }],
    };
    let mut home = namespace("kube-system");
    let mut known = vec![];
    let mut reasons = vec![];
    let steps: [Step; 10] = [
        |pod, _, _| pod.inject = Some("?".into()),
        |pod, _, _| pod.inject = Some("true".into()),
        |_, home, _| home.name = "shop".into(),
        |pod, _, _| pod.host_network = false,
        |pod, _, _| pod.windows = false,
        |pod, _, _| pod.mirrors_static = false,
        |pod, _, _| pod.sidecar = SidecarPresence::Absent,
        |_, _, known| known.push(in_mode(SidecarMode::Container)),
        |pod, _, known| {
            pod.runs_to_completion = false;
            *known = vec![trace_buffer("shop", "a")];
        },
        |pod, _, _| pod.volumes.clear(),
    ];
    for step in steps {
        reasons.push(reason(&pod, &home, &known));
        step(&mut pod, &mut home, &mut known);
    }
    reasons.push(reason(&pod, &home, &known));
    assert_eq!(
        reasons,
        [
            SkipReason::OptedOut,
            SkipReason::InvalidAnnotation,
            SkipReason::ExcludedNamespace,
            SkipReason::HostNetwork,
            SkipReason::Windows,
            SkipReason::StaticPod,
            SkipReason::NameConflict,
            SkipReason::NoTraceBuffer,
            SkipReason::NeedsNativeSidecar,
            SkipReason::NameConflict,
            SkipReason::PortClash,
        ]
    );
}

fn reason(pod: &PodFacts, home: &NamespaceFacts, known: &[Candidate<FakeSidecar>]) -> SkipReason {
    match decided_in(pod, home, &modern(), known) {
        Decision::Skip(skip) => skip.reason,
        injected => panic!("{injected:?}"),
    }
}

#[test]
fn what_others_wrote_is_bounded_and_escaped_in_every_message() {
    let nasty = "\u{1b}[31m\n".repeat(10_000);
    let claimed = ClaimedPort { container: nasty.clone(), port: 4317 };
    let pods = [PodFacts { ports: vec![claimed], ..asking("true") }, asking(&nasty)];
    for pod in pods {
        let decision = decided(&pod, &[trace_buffer("shop", "a")]);
        let Decision::Skip(skip) = decision else { panic!("{decision:?}") };
        assert!(skip.message.len() < 1024 && !skip.message.contains(char::is_control));
    }
    let skip = Skip::not_accepted(&key("a", "b"), &nasty);
    assert!(skip.message.len() < 1024 && !skip.message.contains(char::is_control));
}
