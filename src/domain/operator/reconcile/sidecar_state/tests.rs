use std::num::NonZeroU64;

use super::*;
use crate::domain::limits::BufferLimits;
use crate::domain::operator::injection::consent::{AllowedNamespaces, CredentialUse};

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

fn pod(inject: Option<&str>, status: Option<InjectionStatus>) -> PodSnapshot {
    PodSnapshot {
        key: key("shop", "pod-1"),
        uid: "p1".into(),
        owner: None,
        inject: inject.map(str::to_owned),
        status,
        limits: None,
        is_terminating: false,
    }
}

fn injected(hash: &str, uid: &str, max_bytes: u64) -> InjectionStatus {
    let trace_buffer = key("shop", "traces");
    InjectionStatus::Injected(InjectedSidecar {
        trace_buffer,
        uid: uid.into(),
        hash: hash.into(),
        max_bytes,
        is_bypassed: false,
        warnings: vec![],
    })
}

fn skipped(reason: SkipReason) -> InjectionStatus {
    InjectionStatus::Skipped { reason, message: "because".into() }
}

fn snapshot(sidecar: Result<DesiredSidecar, String>) -> TraceBufferSnapshot {
    TraceBufferSnapshot {
        key: key("shop", "traces"),
        uid: "u1".into(),
        resource_version: "1".into(),
        generation: 1,
        sidecar,
        allowed_namespaces: AllowedNamespaces::Same,
        credentials: CredentialUse::None,
        references: vec![],
        rollout: None,
        status: None,
    }
}

fn desired_sidecar(hash: &str, max_bytes: u64) -> DesiredSidecar {
    let max_bytes = NonZeroU64::new(max_bytes).unwrap();
    let limits = BufferLimits { max_spans: NonZeroU64::MIN, max_bytes, max_age: None };
    DesiredSidecar { hash: hash.into(), limits }
}

#[test]
fn the_sidecar_state_follows_from_the_pods_status_and_the_spec() {
    use OutdatedReason::{NeedsMoreMemory, Recreated, SpecChanged};
    let outdated = SidecarState::Outdated;
    for (status, expected) in [
        (injected("h1", "u1", 100), SidecarState::Current),
        (injected("h1", "u1", 200), SidecarState::Current),
        (injected("h0", "u1", 100), outdated(SpecChanged)),
        (injected("h0", "u0", 100), outdated(Recreated)),
        (injected("h1", "u0", 100), SidecarState::Current),
        (injected("h1", "u1", 99), outdated(NeedsMoreMemory)),
        (injected("h0", "u1", 99), outdated(SpecChanged)),
    ] {
        let pod = pod(Some("true"), Some(status.clone()));
        assert_eq!(
            sidecar_state(&pod, &snapshot(Ok(desired_sidecar("h1", 100)))),
            expected,
            "{status:?}"
        );
    }
}

#[test]
fn a_running_sidecar_is_current_while_the_spec_has_errors() {
    let pod = pod(Some("true"), Some(injected("h0", "u1", 1)));

    assert_eq!(sidecar_state(&pod, &snapshot(Err("wrong".into()))), SidecarState::Current);
}

#[test]
fn a_pod_without_a_sidecar_is_missing_with_its_reason() {
    let snapshot = snapshot(Ok(desired_sidecar("h1", 100)));

    let missing = sidecar_state(&pod(Some("true"), None), &snapshot);
    let refused = sidecar_state(&pod(Some("true"), Some(skipped(SkipReason::Windows))), &snapshot);

    assert_eq!(missing, SidecarState::Missing(MissingReason::WebhookNotCalled));
    let cause = MissingReason::Skipped { reason: SkipReason::Windows, message: "because".into() };
    assert_eq!(refused, SidecarState::Missing(cause));
}

fn shop(asks: bool, trace_buffer: Option<&str>) -> NamespaceFacts {
    let trace_buffer = trace_buffer.map(str::to_owned);
    NamespaceFacts { opted_in: asks, trace_buffer, ..NamespaceFacts::unknown("shop") }
}

fn cluster() -> ClusterFacts {
    ClusterFacts {
        operator_namespace: "operator".into(),
        excluded_namespaces: vec!["kube-system".into()],
        default_trace_buffer: Some(key("platform", "all")),
    }
}

fn of(pod: &PodSnapshot, namespace: &NamespaceFacts, names: &[&str]) -> Option<String> {
    let names = || names.iter().map(|name| (*name).to_owned()).collect();
    trace_buffer_of_pod(pod, namespace, &cluster(), names).map(|key| key.to_string())
}

#[test]
fn a_pod_belongs_to_the_trace_buffer_that_it_uses_or_asks_for() {
    let one = ["traces"];
    let two = ["default", "traces"];
    for (inject, status, asks, names, expected) in [
        (None, Some(injected("h", "u", 1)), false, &two[..], Some("shop/traces")),
        (Some("other"), Some(injected("h", "u", 1)), false, &one, Some("shop/traces")),
        (Some("traces"), None, false, &two, Some("shop/traces")),
        (Some("shop/traces"), None, false, &two, Some("shop/traces")),
        (Some("elsewhere/traces"), None, false, &one, Some("elsewhere/traces")),
        (Some("true"), None, false, &one, Some("shop/traces")),
        (Some("true"), None, false, &two, Some("shop/default")),
        (Some("enabled"), None, false, &[], Some("platform/all")),
        (None, None, true, &one, Some("shop/traces")),
        (None, None, false, &one, None),
        (Some("false"), None, true, &one, None),
        (Some("disabled"), None, true, &one, None),
        (Some("?"), None, true, &one, None),
        (Some("true"), Some(skipped(SkipReason::PortClash)), false, &one, Some("shop/traces")),
        (None, Some(skipped(SkipReason::OptedOut)), true, &one, None),
    ] {
        let pod = pod(inject, status);
        assert_eq!(of(&pod, &shop(asks, None), names).as_deref(), expected, "{pod:?}");
    }
}

#[test]
fn a_pod_that_names_no_trace_buffer_belongs_to_the_one_its_namespace_names() {
    let asking = pod(Some("true"), None);
    let named = of(&asking, &shop(false, Some("platform/team")), &["default"]);
    assert_eq!(named.as_deref(), Some("platform/team"));
    assert_eq!(of(&asking, &shop(false, Some("?")), &["default"]), None);
}

#[test]
fn a_running_sidecar_belongs_to_the_trace_buffer_it_was_built_from() {
    let running = pod(Some("true"), Some(injected("h", "u", 1)));
    let of = of(&running, &shop(true, Some("platform/team")), &[]);
    assert_eq!(of.as_deref(), Some("shop/traces"));
}

#[test]
fn no_pod_asks_for_a_sidecar_where_injection_is_disabled() {
    for name in ["kube-system", "operator"] {
        let namespace = NamespaceFacts { opted_in: true, ..NamespaceFacts::unknown(name) };
        assert_eq!(of(&pod(Some("true"), None), &namespace, &["default"]), None);
    }
}

#[test]
fn a_pod_with_an_invalid_annotation_is_missing_its_sidecar() {
    for (inject, status, asks, expected) in [
        (Some("true"), None, false, true),
        (Some("?"), None, false, true),
        (None, None, true, true),
        (None, None, false, false),
        (Some("disabled"), None, true, false),
        (Some("true"), Some(skipped(SkipReason::PortClash)), false, true),
        (Some("true"), Some(skipped(SkipReason::AlreadyInjected)), false, false),
        (Some("true"), Some(injected("h", "u", 1)), false, false),
    ] {
        let pod = pod(inject, status);
        assert_eq!(is_missing_sidecar(&pod, asks), expected, "{pod:?}");
    }
}
