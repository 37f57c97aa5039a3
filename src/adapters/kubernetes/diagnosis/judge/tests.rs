use serde_json::{Value, json};

use super::*;
use crate::adapters::kubernetes::diagnosis::finding::{State, worst};
use crate::adapters::kubernetes::diagnosis::seen::Seen;
use crate::adapters::kubernetes::diagnosis::testing::{
    DAY, IMAGE, NOW, condition, from, healthy, injected_annotations, injected_pod, keyring,
    pod_metadata, trace_buffer,
};

/// The findings about what is broken by `change` that are not fine: section, name, state, message.
fn wrong(change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, String, State, String)> {
    let mut facts = healthy();
    change(&mut facts);
    let wrong = judge(&facts).into_iter().filter(|finding| finding.state != State::Ok);
    wrong.map(|one| (one.section, one.name, one.state, one.message)).collect()
}

/// Checks that `change` breaks exactly one thing.
fn assert_one(change: impl FnOnce(&mut Facts), section: &str, name: &str, state: State, say: &str) {
    let wrong = wrong(change);
    let [(found_section, found_name, found_state, message)] = wrong.as_slice() else {
        panic!("{wrong:#?}");
    };
    assert_eq!((*found_section, found_name.as_str(), *found_state), (section, name, state));
    assert!(message.contains(say), "{message}");
}

#[test]
fn nothing_is_wrong_with_what_is_healthy() {
    let findings = judge(&healthy());

    assert_eq!(worst(&findings), State::Ok, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.state == State::Ok), "{findings:#?}");
    let mut sections: Vec<_> = findings.iter().map(|finding| finding.section).collect();
    sections.dedup();
    let expected = ["Cluster", "Operator", "Webhook", "Certificates", "TraceBuffers", "Pods"];
    assert_eq!(sections, expected);
}

#[test]
fn what_may_not_be_seen_is_skipped_and_fails_nothing() {
    let forbidden = || "pods is forbidden".to_owned();
    let mut facts = healthy();
    facts.crd = Seen::Hidden(forbidden());
    facts.operator.webhook = Seen::Hidden(forbidden());
    facts.operator.deployment = Seen::Hidden(forbidden());
    facts.secret = Seen::Hidden(forbidden());
    facts.probe.1 = Seen::Hidden(forbidden());
    facts.trace_buffers = Seen::Hidden(forbidden());
    facts.pods = Seen::Hidden(forbidden());
    facts.injected = Seen::Hidden(forbidden());

    let findings = judge(&facts);

    assert_eq!(worst(&findings), State::Ok, "{findings:#?}");
    let skipped = findings.iter().filter(|finding| finding.state == State::Skipped);
    assert_eq!(skipped.count(), 7, "{findings:#?}");
}

#[test]
fn what_gives_no_answer_fails_and_says_what_was_said() {
    let (why, say) = (|| "etcdserver: timed out".to_owned(), "cannot be read: etcdserver");
    let crd = "tracebuffers.tracebuffer.dev";

    assert_one(|f| f.crd = Seen::Unknown(why()), "Cluster", crd, State::Failed, say);
    let silent = |f: &mut Facts| f.operator.deployment = Seen::Unknown(why());
    assert_one(silent, "Operator", "pods", State::Failed, say);
}

#[test]
fn an_installation_of_which_parts_are_gone_says_what_brings_them() {
    assert_one(
        |facts| facts.operator.deployment = Seen::Absent,
        "Operator",
        "pods",
        State::Failed,
        "Deployment was not found",
    );
    assert_one(
        |facts| {
            let mut webhook = facts.operator.webhook.get().cloned().unwrap();
            webhook.webhooks.iter_mut().flatten().for_each(|entry| entry.name = "other".into());
            facts.operator.webhook = Seen::Is(webhook);
        },
        "Webhook",
        "configuration",
        State::Failed,
        "has no entry inject.tracebuffer.dev",
    );
    assert_one(
        |facts| {
            let mut deployment = facts.operator.deployment.get().cloned().unwrap();
            deployment.metadata.labels = None;
            facts.operator.deployment = Seen::Is(deployment);
        },
        "Operator",
        "version",
        State::Skipped,
        "has no label",
    );
}

#[test]
fn an_old_cluster_fails() {
    let old = |facts: &mut Facts| facts.version = Seen::Is((1, 28, "v".into()));

    assert_one(old, "Cluster", "version", State::Failed, "older than 1.29");
}

#[test]
fn a_resource_definition_that_is_missing_unserved_or_another_is_found() {
    let name = "tracebuffers.tracebuffer.dev";
    let change = |edit: fn(&mut Value)| {
        move |facts: &mut Facts| {
            let mut crd = serde_json::to_value(facts.crd.get()).unwrap();
            edit(&mut crd);
            facts.crd = Seen::Is(from(crd));
        }
    };

    assert_one(|f| f.crd = Seen::Absent, "Cluster", name, State::Failed, "is missing");
    let served = change(|crd| crd["spec"]["versions"][0]["served"] = false.into());
    assert_one(served, "Cluster", name, State::Failed, "not served");
    let pending = change(|crd| crd["status"] = Value::Null);
    assert_one(pending, "Cluster", name, State::Failed, "not served");
    let other = change(|crd| crd["spec"]["versions"][0]["name"] = "v1".into());
    assert_one(other, "Cluster", name, State::Failed, "v1alpha1 is not defined");
    let older = change(|crd| {
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "old".into();
    });
    assert_one(older, "Cluster", name, State::Warning, "not that of this binary");
}

#[test]
fn an_operator_that_is_missing_unready_or_of_another_version_is_found() {
    let change = |path: &'static str, value: Value| {
        move |facts: &mut Facts| {
            let mut deployment = serde_json::to_value(facts.operator.deployment.get()).unwrap();
            *deployment.pointer_mut(path).unwrap() = value;
            facts.operator.deployment = Seen::Is(from(deployment));
        }
    };
    let ready = "/status/readyReplicas";

    assert_one(change(ready, 0.into()), "Operator", "pods", State::Failed, "0 of 2 pods");
    assert_one(change(ready, 1.into()), "Operator", "pods", State::Warning, "1 of 2 pods");
    let label = change("/metadata/labels", json!({"app.kubernetes.io/version": "9.9.9"}));
    assert_one(label, "Operator", "version", State::Warning, "version 9.9.9");
}

#[test]
fn a_webhook_without_its_configuration_or_trust_is_found() {
    let none = wrong(|facts| facts.operator.webhook = Seen::Absent);
    assert!(
        none.iter().any(|(_, name, state, _)| name == "configuration" && *state == State::Failed)
    );
    let unreached = none.iter().find(|(_, name, ..)| name == "reachable").unwrap();
    assert_eq!(unreached.2, State::Skipped);

    let untrusted = wrong(|facts| {
        let mut webhook = facts.operator.webhook.get().cloned().unwrap();
        webhook.webhooks.as_mut().unwrap()[0].client_config.ca_bundle = None;
        facts.operator.webhook = Seen::Is(webhook);
    });
    assert!(untrusted[0].3.contains("has no caBundle"), "{untrusted:?}");
}

#[test]
fn a_pod_that_comes_back_without_an_answer_proves_that_the_webhook_is_not_reached() {
    let bare = |facts: &mut Facts| facts.probe.1 = Seen::Is(from(json!({"metadata": {}})));
    assert_one(bare, "Webhook", "reachable", State::Failed, "without an answer");

    let skipped = |facts: &mut Facts| {
        let status = r#"{"skipped":"NoTraceBuffer","message":"none"}"#;
        let annotations = json!({"tracebuffer.dev/status": status});
        facts.probe.1 = Seen::Is(from(json!({"metadata": {"annotations": annotations}})));
    };
    assert_eq!(wrong(skipped), []);
}

#[test]
fn a_dry_run_that_others_refuse_proves_nothing() {
    let refused = |facts: &mut Facts| {
        facts.probe.1 = Seen::Hidden("admission webhook \"policy\" denied the request".into());
    };
    assert_one(refused, "Webhook", "reachable", State::Warning, "was refused: admission");
    let excluded = |facts: &mut Facts| facts.probe.0 = facts.operator.namespace.clone();
    assert_one(excluded, "Webhook", "reachable", State::Skipped, "is excluded from injection");
    let nowhere = |facts: &mut Facts| facts.probe.1 = Seen::Absent;
    assert_one(nowhere, "Webhook", "reachable", State::Warning, "no namespace shop");
}

#[test]
fn certificates_are_found_before_and_after_they_expire() {
    let later = |days: i64| move |facts: &mut Facts| facts.now = NOW + days * DAY;

    let soon = wrong(later(55));
    assert_eq!(soon.len(), 2, "{soon:?}");
    assert!(soon.iter().all(|(_, _, state, _)| *state == State::Warning));
    assert!(soon[0].3.contains("expires in 5 days"), "{soon:?}");
    let over = wrong(later(61));
    assert_eq!(over.len(), 2, "{over:?}");
    assert!(
        over.iter().all(|(_, _, state, say)| *state == State::Failed && say.contains("expired"))
    );
}

#[test]
fn a_served_certificate_that_the_bundle_does_not_trust_is_found() {
    let foreign = |facts: &mut Facts| {
        let leaf = k8s_openapi::ByteString(keyring(NOW + 60 * DAY).leaf);
        facts.secret =
            Seen::Is(from(json!({"metadata": {"name": "s"}, "data": {"tls.crt": leaf}})));
    };
    assert_one(foreign, "Certificates", "trust", State::Failed, "does not trust");
    let rubbish = |facts: &mut Facts| {
        let data = json!({"tls.crt": k8s_openapi::ByteString(b"rubbish".to_vec())});
        facts.secret = Seen::Is(from(json!({"metadata": {"name": "s"}, "data": data})));
    };
    assert_one(rubbish, "Certificates", "served", State::Failed, "no PEM certificate");
}

#[test]
fn trace_buffers_that_are_refused_unready_or_unseen_are_named() {
    let status = |status: Value| {
        move |facts: &mut Facts| {
            let mut object = trace_buffer();
            object.status = from(status);
            facts.trace_buffers = Seen::Is(vec![trace_buffer(), object]);
        }
    };
    let with = |condition| json!({"observedGeneration": 2, "conditions": [condition]});

    let refused = status(with(condition("Accepted", "False", "spec.buffer is wrong")));
    assert_one(refused, "TraceBuffers", "shop/default", State::Failed, "spec.buffer is wrong");
    let unready = status(with(condition("Ready", "False", "no operator")));
    assert_one(unready, "TraceBuffers", "shop/default", State::Warning, "Ready=False: no operator");
    let unseen = status(json!({"observedGeneration": 1, "conditions": []}));
    assert_one(unseen, "TraceBuffers", "shop/default", State::Warning, "not looked at");
    assert_one(
        status(Value::Null),
        "TraceBuffers",
        "shop/default",
        State::Warning,
        "not looked at",
    );
}

/// Adds a pod with these annotations.
fn pod(annotations: Value) -> impl FnOnce(&mut Facts) {
    move |facts| facts.pods = Seen::Is(vec![pod_metadata("b", &annotations)])
}

#[test]
fn pods_without_a_sidecar_with_an_old_one_or_skipped_are_named() {
    let bare = pod(json!({"tracebuffer.dev/inject": "true"}));
    assert_one(bare, "Pods", "without", State::Warning, "1 pod asking for a sidecar");

    let status = r#"{"skipped":"HostNetwork","message":"m"}"#;
    let skipped = pod(json!({"tracebuffer.dev/status": status}));
    assert_one(skipped, "Pods", "skipped", State::Warning, "shop/b (HostNetwork)");

    let status = r#"{"injected":"shop/default","uid":"u-1","hash":"old","maxBytes":1}"#;
    let outdated = pod(json!({"tracebuffer.dev/status": status}));
    assert_one(outdated, "Pods", "outdated", State::Warning, "shop/b");

    let status = r#"{"injected":"shop/gone","uid":"u-1","hash":"old","maxBytes":1}"#;
    let orphaned = pod(json!({"tracebuffer.dev/status": status}));
    assert_one(orphaned, "Pods", "orphaned", State::Warning, "shop/b (shop/gone)");
}

#[test]
fn pods_that_want_no_sidecar_are_left_alone() {
    for annotations in [
        json!({}),
        json!({"tracebuffer.dev/inject": "false"}),
        json!({"tracebuffer.dev/status": r#"{"skipped":"OptedOut","message":"m"}"#}),
    ] {
        assert_eq!(wrong(pod(annotations)), []);
    }
}

#[test]
fn a_pod_of_a_namespace_that_asks_is_expected_to_have_a_sidecar() {
    let asked = |facts: &mut Facts| {
        let labels = json!({"tracebuffer.dev/inject": "true"});
        facts.namespaces = vec![from(json!({"name": "shop", "labels": labels}))];
        pod(json!({}))(facts);
    };
    assert_one(asked, "Pods", "without", State::Warning, "shop/b");
}

#[test]
fn a_label_that_means_nothing_on_a_namespace_is_told() {
    let labelled = |facts: &mut Facts| {
        let labels = json!({"tracebuffer.dev/inject": "traces"});
        facts.namespaces = vec![from(json!({"name": "shop", "labels": labels}))];
    };
    assert_one(
        labelled,
        "Pods",
        "namespaces",
        State::Warning,
        "shop: label tracebuffer.dev/inject",
    );
}

#[test]
fn whether_a_sidecar_is_current_is_left_open_where_not_all_trace_buffers_are_seen() {
    let status = r#"{"injected":"other/gone","uid":"u-1","hash":"old","maxBytes":1}"#;
    let elsewhere = |facts: &mut Facts| {
        facts.only_one_namespace = true;
        pod(json!({"tracebuffer.dev/status": status}))(facts);
    };
    assert_eq!(wrong(elsewhere), []);
}

#[test]
fn sidecars_with_another_image_are_named_unless_their_trace_buffer_chose_it() {
    let old = |facts: &mut Facts| {
        facts.injected = Seen::Is(vec![injected_pod("a", IMAGE), injected_pod("b", "old:1")]);
    };
    assert_one(old, "Pods", "images", State::Warning, "shop/b (old:1)");

    let chosen = |facts: &mut Facts| {
        old(facts);
        let mut object = trace_buffer();
        object.spec.sidecar.image = Some("old:1".to_owned());
        facts.trace_buffers = Seen::Is(vec![object]);
        facts.pods = Seen::Is(vec![]);
    };
    assert_eq!(wrong(chosen), []);
}

#[test]
fn a_pod_that_is_being_deleted_is_left_alone() {
    let ending = |facts: &mut Facts| {
        let mut pod = pod_metadata("b", &json!({"tracebuffer.dev/inject": "true"}));
        pod.metadata.deletion_timestamp = Some(from(json!("2033-01-01T00:00:00Z")));
        facts.pods = Seen::Is(vec![pod, pod_metadata("a", &injected_annotations())]);
    };
    assert_eq!(wrong(ending), []);
}

#[test]
fn many_names_are_cut() {
    let names: Vec<_> = (1..=7).map(|number| format!("p{number}")).collect();

    assert_eq!(few(&names), "p1, p2, p3, p4, p5 and 2 more");
    assert_eq!(few(&names[..1]), "p1");
}
