use super::*;
use crate::domain::operator::injection::consent::{AllowedNamespaces, LabelSelector};
use crate::domain::operator::injection::facts::ContainerPort;

#[derive(Clone, Debug, PartialEq)]
struct FakeSidecar {
    mode: SidecarMode,
    volumes: Vec<String>,
    credentials: CredentialUse,
}

impl SidecarTemplate for FakeSidecar {
    fn mode(&self) -> SidecarMode {
        self.mode
    }

    fn ports(&self) -> SidecarPorts {
        SidecarPorts { grpc: 4317, http: 4318, admin: 9417 }
    }

    fn volume_names(&self) -> impl Iterator<Item = &str> {
        self.volumes.iter().map(String::as_str)
    }

    fn credential_use(&self) -> CredentialUse {
        self.credentials
    }
}

fn trace_buffer(namespace: &str, name: &str) -> TraceBufferView<FakeSidecar> {
    let sidecar = FakeSidecar {
        mode: SidecarMode::Native,
        volumes: vec!["tracebuffer-pod-info".into()],
        credentials: CredentialUse::None,
    };
    let allowed_namespaces = AllowedNamespaces::Same;
    let sidecar = Ok(Arc::new(sidecar));
    TraceBufferView { key: key(namespace, name), sidecar, allowed_namespaces }
}

fn in_mode(mode: SidecarMode) -> TraceBufferView<FakeSidecar> {
    let sidecar = FakeSidecar { mode, volumes: vec![], credentials: CredentialUse::None };
    TraceBufferView { sidecar: Ok(Arc::new(sidecar)), ..trace_buffer("shop", "default") }
}

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

fn requesting_pod(value: &str) -> PodFacts {
    PodFacts { inject: Some(value.into()), ..PodFacts::default() }
}

fn cluster() -> ClusterFacts {
    ClusterFacts {
        operator_namespace: "operator".into(),
        excluded_namespaces: vec!["kube-system".into()],
        default_trace_buffer: None,
    }
}

fn namespace(name: &str) -> NamespaceFacts {
    NamespaceFacts::unknown(name)
}

/// Decides for a pod of namespace `shop`.
fn decided(pod: &PodFacts, known: &[TraceBufferView<FakeSidecar>]) -> Decision<FakeSidecar> {
    decided_in(pod, &namespace("shop"), &cluster(), known)
}

fn decided_in(
    pod: &PodFacts,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    known: &[TraceBufferView<FakeSidecar>],
) -> Decision<FakeSidecar> {
    let known: Vec<_> = known.iter().cloned().map(Arc::new).collect();
    decide(pod, namespace, cluster, &known)
}

#[track_caller]
fn assert_skips(decision: &Decision<FakeSidecar>, reason: SkipReason, message: &str) {
    let Decision::Skip(skip) = decision else { panic!("not skipped: {decision:?}") };
    assert_eq!((skip.reason, skip.message.as_str()), (reason, message));
}

#[track_caller]
fn assert_injects(decision: &Decision<FakeSidecar>, from: &str) {
    let Decision::Inject { trace_buffer, .. } = decision else { panic!("{decision:?}") };
    assert_eq!(trace_buffer.to_string(), from);
}

#[test]
fn true_means_the_only_trace_buffer_of_the_namespace() {
    let known = [trace_buffer("shop", "a"), trace_buffer("other", "b")];
    assert_injects(&decided(&requesting_pod("true"), &known), "shop/a");
}

#[test]
fn true_means_the_one_named_default_among_several() {
    let known = [trace_buffer("shop", "a"), trace_buffer("shop", "default")];
    assert_injects(&decided(&requesting_pod("true"), &known), "shop/default");
}

#[test]
fn a_namespace_opts_in_for_pods_without_an_annotation() {
    let shop = NamespaceFacts { opted_in: true, ..namespace("shop") };
    let known = [trace_buffer("shop", "a")];
    assert_injects(&decided_in(&PodFacts::default(), &shop, &cluster(), &known), "shop/a");
}

#[test]
fn a_name_is_looked_up_in_the_pods_namespace() {
    let known = [trace_buffer("shop", "a"), trace_buffer("shop", "b")];
    assert_injects(&decided(&requesting_pod("b"), &known), "shop/b");
    assert_injects(&decided(&requesting_pod("shop/a"), &known), "shop/a");
}

#[test]
fn a_trace_buffer_of_another_namespace_needs_its_full_name_and_permission() {
    let mut shared = trace_buffer("platform", "a");
    assert_skips(
        &decided(&requesting_pod("platform/a"), &[shared.clone()]),
        SkipReason::NotAllowed,
        "TraceBuffer platform/a does not allow pods of namespace shop; let its \
         spec.allowedNamespaces include them",
    );
    shared.allowed_namespaces = AllowedNamespaces::Selector(LabelSelector::default());
    assert_skips(
        &decided(&requesting_pod("platform/a"), &[shared.clone()]),
        SkipReason::NotAllowed,
        "TraceBuffer platform/a allows namespaces by their labels, and those of namespace shop are \
         not known; give its Namespace object, too",
    );
    shared.allowed_namespaces = AllowedNamespaces::All;
    let known = [shared];
    assert_injects(&decided(&requesting_pod("platform/a"), &known), "platform/a");
    let Decision::Skip(skip) = decided(&requesting_pod("a"), &known) else { panic!("injected") };
    assert_eq!(skip.reason, SkipReason::TraceBufferNotFound);
}

fn with_credentials(namespace: &str, credentials: CredentialUse) -> TraceBufferView<FakeSidecar> {
    let mut view = trace_buffer(namespace, "a");
    view.allowed_namespaces = AllowedNamespaces::All;
    view.sidecar =
        view.sidecar.map(|sidecar| FakeSidecar { credentials, ..(*sidecar).clone() }.into());
    view
}

#[test]
fn a_foreign_trace_buffer_with_references_needs_the_consent_of_the_namespace_object() {
    use CredentialUse::{References, ServiceAccountToken};
    let consenting =
        NamespaceFacts { trace_buffer: Some("platform/a".into()), ..namespace("shop") };
    for (credentials, home, pod, injects) in [
        (References, namespace("shop"), "platform/a", false),
        (References, consenting.clone(), "platform/a", true),
        (References, consenting.clone(), "true", true),
        (ServiceAccountToken, consenting.clone(), "true", false),
        (CredentialUse::None, namespace("shop"), "platform/a", true),
    ] {
        let known = [with_credentials("platform", credentials)];
        match decided_in(&requesting_pod(pod), &home, &cluster(), &known) {
            Decision::Inject { .. } => assert!(injects, "{credentials:?} {home:?}"),
            Decision::Skip(skip) => {
                assert_eq!(skip.reason, SkipReason::ReferencesNotAllowed);
                assert!(!injects, "{credentials:?} {home:?}");
            }
            Decision::CompleteInjection { .. } => panic!("the pod has no sidecar"),
        }
    }
    for credentials in [References, ServiceAccountToken] {
        let own = [with_credentials("shop", credentials)];
        assert_injects(&decided(&requesting_pod("a"), &own), "shop/a");
    }
}

#[test]
fn the_operators_default_with_references_is_no_consent() {
    let known = [with_credentials("platform", CredentialUse::References)];
    let default_trace_buffer = Some(key("platform", "a"));
    let with_default = ClusterFacts { default_trace_buffer, ..cluster() };
    let decision = decided_in(&requesting_pod("true"), &namespace("shop"), &with_default, &known);
    assert_skips(
        &decision,
        SkipReason::ReferencesNotAllowed,
        "TraceBuffer platform/a of another namespace refers to Secrets or ConfigMaps, which it may \
         use only with the consent of the namespace's owner: annotation \
         tracebuffer.dev/tracebuffer: platform/a on Namespace shop",
    );
}

#[test]
fn an_existing_sidecar_is_not_completed_without_consent() {
    let known = [with_credentials("platform", CredentialUse::References)];
    let sidecar = SidecarPresence::Injected(key("platform", "a"));
    let Decision::Skip(skip) = decided(&PodFacts { sidecar, ..requesting_pod("true") }, &known)
    else {
        panic!("completed")
    };
    assert_eq!(skip.reason, SkipReason::AlreadyInjected);
}

#[test]
fn a_pod_without_a_request_is_skipped() {
    assert_skips(
        &decided(&PodFacts::default(), &[]),
        SkipReason::NotRequested,
        "neither the pod's annotation tracebuffer.dev/inject nor the label of namespace shop asks \
         for a sidecar",
    );
}

#[test]
fn a_pod_can_opt_out_in_an_opted_in_namespace() {
    let shop = NamespaceFacts { opted_in: true, ..namespace("shop") };
    assert_skips(
        &decided_in(&requesting_pod("false"), &shop, &cluster(), &[]),
        SkipReason::OptedOut,
        "the pod's annotation tracebuffer.dev/inject declines a sidecar",
    );
}

#[test]
fn an_invalid_annotation_is_reported() {
    let Decision::Skip(skip) = decided(&requesting_pod("Yes"), &[]) else { panic!("not skipped") };
    assert_eq!(skip.reason, SkipReason::InvalidAnnotation);
    assert!(skip.message.contains("\"Yes\"; allowed are"), "{}", skip.message);
}

#[test]
fn pods_of_excluded_namespaces_and_the_operators_own_are_skipped() {
    for name in ["kube-system", "operator"] {
        assert_skips(
            &decided_in(
                &requesting_pod("true"),
                &namespace(name),
                &cluster(),
                &[trace_buffer(name, "a")],
            ),
            SkipReason::ExcludedNamespace,
            &format!(
                "injection is disabled in namespace {name}; run the application in another \
                 namespace, or remove the namespace from the operator's webhook.excludedNamespaces"
            ),
        );
    }
}

#[test]
fn a_pod_with_its_sidecar_is_completed_from_the_same_trace_buffer() {
    let pod =
        PodFacts { sidecar: SidecarPresence::Injected(key("shop", "a")), ..requesting_pod("true") };
    let decision = decided(&pod, &[trace_buffer("shop", "a"), trace_buffer("shop", "default")]);
    let Decision::CompleteInjection { trace_buffer, .. } = decision else { panic!("{decision:?}") };
    assert_eq!(trace_buffer, key("shop", "a"));
}

#[test]
fn a_pod_whose_trace_buffer_was_deleted_or_belongs_to_another_namespace_is_unchanged() {
    for (of, known) in [("shop", vec![]), ("other", vec![trace_buffer("other", "a")])] {
        let pod =
            PodFacts { sidecar: SidecarPresence::Injected(key(of, "a")), ..requesting_pod("true") };
        let message = format!("the pod already has the sidecar of TraceBuffer {of}/a");
        assert_skips(&decided(&pod, &known), SkipReason::AlreadyInjected, &message);
    }
}

#[test]
fn a_pod_on_the_host_network_is_skipped() {
    let pod = PodFacts { host_network: true, ..requesting_pod("true") };
    assert_skips(
        &decided(&pod, &[trace_buffer("shop", "a")]),
        SkipReason::HostNetwork,
        "the pod uses the node's network (hostNetwork: true), where the sidecar's ports clash with \
         other pods'; leave hostNetwork out, or send to a receiver on the node",
    );
}

#[test]
fn reasons_independent_of_the_trace_buffer_are_reported_first() {
    for (pod, reason) in [
        (PodFacts { windows: true, ..requesting_pod("true") }, SkipReason::Windows),
        (PodFacts { is_mirror_pod: true, ..requesting_pod("true") }, SkipReason::StaticPod),
        (
            PodFacts { sidecar: SidecarPresence::Foreign, ..requesting_pod("true") },
            SkipReason::NameConflict,
        ),
    ] {
        let Decision::Skip(skip) = decided(&pod, &[]) else { panic!("injected") };
        assert_eq!(skip.reason, reason);
    }
}

#[test]
fn a_namespace_without_a_trace_buffer_is_reported() {
    assert_skips(
        &decided(&requesting_pod("true"), &[trace_buffer("other", "a")]),
        SkipReason::NoTraceBuffer,
        "namespace shop has no TraceBuffer; create one, or name one of another namespace as \
         \"<namespace>/<name>\" in annotation tracebuffer.dev/inject",
    );
}

#[test]
fn several_without_a_default_are_listed() {
    assert_skips(
        &decided(&requesting_pod("true"), &[trace_buffer("shop", "a"), trace_buffer("shop", "b")]),
        SkipReason::SeveralTraceBuffers,
        "namespace shop has several TraceBuffers and none is named default; name one in annotation \
         tracebuffer.dev/inject: a, b",
    );
}

#[test]
fn an_unknown_name_is_reported() {
    assert_skips(
        &decided(&requesting_pod("b"), &[trace_buffer("shop", "a")]),
        SkipReason::TraceBufferNotFound,
        "there is no TraceBuffer shop/b; create it, or name another in annotation \
         tracebuffer.dev/inject",
    );
}

#[test]
fn the_errors_of_a_trace_buffer_are_reported_in_one_line() {
    let broken = TraceBufferView {
        sidecar: Err("spec.a: wrong\nspec.b: wrong too\n".into()),
        ..trace_buffer("shop", "a")
    };
    assert_skips(
        &decided(&requesting_pod("true"), &[broken]),
        SkipReason::TraceBufferNotAccepted,
        "TraceBuffer shop/a has errors: spec.a: wrong; spec.b: wrong too",
    );
}

#[test]
fn a_pod_that_runs_to_completion_gets_no_plain_container() {
    let job = PodFacts { runs_to_completion: true, ..requesting_pod("true") };
    assert_injects(&decided(&job, &[in_mode(SidecarMode::Native)]), "shop/default");
    assert_skips(
        &decided(&job, &[in_mode(SidecarMode::Container)]),
        SkipReason::NeedsNativeSidecar,
        "the pod runs to completion, and the plain container of TraceBuffer shop/default \
         (sidecar.mode: Container) would never let it end; set the mode to Native",
    );
    assert_injects(
        &decided(&requesting_pod("true"), &[in_mode(SidecarMode::Container)]),
        "shop/default",
    );
}

#[test]
fn a_volume_of_the_sidecars_name_is_a_conflict() {
    let pod = PodFacts { volumes: vec!["tracebuffer-pod-info".into()], ..requesting_pod("true") };
    assert_skips(
        &decided(&pod, &[trace_buffer("shop", "a")]),
        SkipReason::NameConflict,
        "a volume of the pod is named \"tracebuffer-pod-info\" like one of the sidecar's; rename it",
    );
}

#[test]
fn a_port_conflict_names_container_and_field() {
    for (port, field) in
        [(4317, "receiver.grpcPort"), (4318, "receiver.httpPort"), (9417, "receiver.adminPort")]
    {
        let claimed = |port| ContainerPort { container: "web".into(), port };
        let pod = PodFacts { ports: vec![claimed(80), claimed(port)], ..requesting_pod("true") };
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
fn other_ports_are_no_conflict() {
    let claimed = ContainerPort { container: "web".into(), port: 4316 };
    let pod = PodFacts { ports: vec![claimed], ..requesting_pod("true") };
    assert_injects(&decided(&pod, &[trace_buffer("shop", "a")]), "shop/a");
}

type Mutation = fn(&mut PodFacts, &mut NamespaceFacts, &mut Vec<TraceBufferView<FakeSidecar>>);

#[test]
fn the_first_reason_in_the_documented_order_is_reported() {
    let mut pod = PodFacts {
        inject: Some("false".into()),
        host_network: true,
        windows: true,
        is_mirror_pod: true,
        runs_to_completion: true,
        sidecar: SidecarPresence::Foreign,
        volumes: vec!["tracebuffer-pod-info".into()],
        ports: vec![ContainerPort { container: "web".into(), port: 4317 }],
    };
    let mut home = namespace("kube-system");
    let mut known = vec![];
    let mut reasons = vec![];
    let steps: [Mutation; 10] = [
        |pod, _, _| pod.inject = Some("?".into()),
        |pod, _, _| pod.inject = Some("true".into()),
        |_, home, _| home.name = "shop".into(),
        |pod, _, _| pod.host_network = false,
        |pod, _, _| pod.windows = false,
        |pod, _, _| pod.is_mirror_pod = false,
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

fn reason(
    pod: &PodFacts,
    home: &NamespaceFacts,
    known: &[TraceBufferView<FakeSidecar>],
) -> SkipReason {
    match decided_in(pod, home, &cluster(), known) {
        Decision::Skip(skip) => skip.reason,
        injected => panic!("{injected:?}"),
    }
}

#[test]
fn foreign_text_is_bounded_and_escaped_in_every_message() {
    let hostile = "\u{1b}[31m\n".repeat(10_000);
    let claimed = ContainerPort { container: hostile.clone(), port: 4317 };
    let pods =
        [PodFacts { ports: vec![claimed], ..requesting_pod("true") }, requesting_pod(&hostile)];
    for pod in pods {
        let decision = decided(&pod, &[trace_buffer("shop", "a")]);
        let Decision::Skip(skip) = decision else { panic!("{decision:?}") };
        assert!(skip.message.len() < 1024 && !skip.message.contains(char::is_control));
    }
    let skip = Skip::not_accepted(&key("a", "b"), &hostile);
    assert!(skip.message.len() < 1024 && !skip.message.contains(char::is_control));
}
