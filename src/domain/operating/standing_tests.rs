use super::*;
use crate::domain::operating::declared::RunningLimits;

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

fn pod(inject: Option<&str>, status: Option<PodStatus>) -> PodRecord {
    PodRecord {
        key: key("shop", "pod-1"),
        uid: "p1".into(),
        owner: None,
        inject: inject.map(str::to_owned),
        status,
        limits: None,
        is_ending: false,
    }
}

fn injected(hash: &str, uid: &str, max_bytes: u64) -> PodStatus {
    let trace_buffer = key("shop", "traces");
    PodStatus::Injected(Injected { trace_buffer, uid: uid.into(), hash: hash.into(), max_bytes })
}

fn skipped(reason: SkipReason) -> PodStatus {
    PodStatus::Skipped { reason, message: "because".into() }
}

fn declared(sidecar: Result<Needs, String>) -> Declared {
    Declared {
        key: key("shop", "traces"),
        uid: "u1".into(),
        resource_version: "1".into(),
        generation: 1,
        sidecar,
        references: vec![],
        rollout: None,
        status: None,
    }
}

fn needs(hash: &str, max_bytes: u64) -> Needs {
    let limits = RunningLimits { max_spans: 10, max_bytes, max_age_ms: None };
    Needs { hash: hash.into(), limits }
}

#[test]
fn each_sidecar_stands_as_its_record_and_the_spec_say() {
    use Change::{HashDiffers, NeedsMoreMemory, Recreated};
    let outdated = Standing::Outdated;
    for (status, expected) in [
        (injected("h1", "u1", 100), Standing::Current),
        (injected("h1", "u1", 200), Standing::Current),
        (injected("h0", "u1", 100), outdated(HashDiffers)),
        (injected("h0", "u0", 100), outdated(Recreated)),
        (injected("h1", "u0", 100), Standing::Current),
        (injected("h1", "u1", 99), outdated(NeedsMoreMemory)),
        (injected("h0", "u1", 99), outdated(HashDiffers)),
    ] {
        let pod = pod(Some("true"), Some(status.clone()));
        assert_eq!(standing(&pod, &declared(Ok(needs("h1", 100)))), expected, "{status:?}");
    }
}

#[test]
fn beside_mistakes_a_running_sidecar_is_current() {
    let pod = pod(Some("true"), Some(injected("h0", "u1", 1)));

    assert_eq!(standing(&pod, &declared(Err("wrong".into()))), Standing::Current);
}

#[test]
fn a_pod_without_sidecar_is_missing_with_its_cause() {
    let declared = declared(Ok(needs("h1", 100)));

    let bare = standing(&pod(Some("true"), None), &declared);
    let refused = standing(&pod(Some("true"), Some(skipped(SkipReason::Windows))), &declared);

    assert_eq!(bare, Standing::Missing(Cause::WebhookNotCalled));
    let cause = Cause::Skipped { reason: SkipReason::Windows, message: "because".into() };
    assert_eq!(refused, Standing::Missing(cause));
}

#[test]
fn pods_belong_to_what_they_use_or_else_ask_for() {
    let here = key("shop", "traces");
    let one = ["traces".to_owned()];
    let two = ["default".to_owned(), "traces".to_owned()];
    for (inject, status, asks, siblings, expected) in [
        (None, Some(injected("h", "u", 1)), false, &two[..], true),
        (Some("other"), Some(injected("h", "u", 1)), false, &one, true),
        (Some("traces"), None, false, &two, true),
        (Some("shop/traces"), None, false, &two, true),
        (Some("elsewhere/traces"), None, false, &one, false),
        (Some("other"), None, false, &one, false),
        (Some("true"), None, false, &one, true),
        (Some("true"), None, false, &two, false),
        (None, None, true, &one, true),
        (None, None, false, &one, false),
        (Some("false"), None, true, &one, false),
        (Some("?"), None, true, &one, false),
        (Some("true"), Some(skipped(SkipReason::PortClash)), false, &one, true),
        (None, Some(skipped(SkipReason::OptedOut)), true, &one, false),
    ] {
        let pod = pod(inject, status);
        assert_eq!(belongs(&pod, &here, asks, siblings), expected, "{pod:?}");
    }
}

#[test]
fn the_namespaces_default_counts_for_pods_of_other_namespaces_never() {
    let elsewhere = key("elsewhere", "default");

    assert!(!belongs(&pod(Some("true"), None), &elsewhere, true, &["default".into()]));
}

#[test]
fn counts_add_up() {
    let standings = [
        Standing::Current,
        Standing::Current,
        Standing::Outdated(Change::HashDiffers),
        Standing::Missing(Cause::WebhookNotCalled),
    ];

    let counts = PodCounts::of(&standings);

    assert_eq!(counts, PodCounts { total: 4, current: 2, outdated: 1, missing: 1 });
}
