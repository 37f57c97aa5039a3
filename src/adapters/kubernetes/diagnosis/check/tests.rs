use serde_json::{Value, json};

use super::*;
use crate::adapters::kubernetes::diagnosis::fetched::Fetched;
use crate::adapters::kubernetes::diagnosis::finding::{FindingState, worst_state};
use crate::adapters::kubernetes::diagnosis::testing::{
    DAY, IMAGE, NOW, condition, from_json, healthy_installation, injected_annotations,
    injected_pod, pod_metadata, trace_buffer, webhook_tls,
};

/// The findings about what is broken by `change` that are not fine: section, name, state, message.
fn problems(
    change: impl FnOnce(&mut CheckInput),
) -> Vec<(&'static str, String, FindingState, String)> {
    let mut facts = healthy_installation();
    change(&mut facts);
    let wrong = check(&facts).into_iter().filter(|finding| finding.state != FindingState::Ok);
    wrong.map(|one| (one.section, one.name, one.state, one.message)).collect()
}

/// Checks that `change` breaks exactly one thing.
fn assert_single_problem(
    change: impl FnOnce(&mut CheckInput),
    section: &str,
    name: &str,
    state: FindingState,
    say: &str,
) {
    let wrong = problems(change);
    let [(found_section, found_name, found_state, message)] = wrong.as_slice() else {
        panic!("{wrong:#?}");
    };
    assert_eq!((*found_section, found_name.as_str(), *found_state), (section, name, state));
    assert!(message.contains(say), "{message}");
}

#[test]
fn nothing_is_wrong_with_what_is_healthy() {
    let findings = check(&healthy_installation());

    assert_eq!(worst_state(&findings), FindingState::Ok, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.state == FindingState::Ok), "{findings:#?}");
    let mut sections: Vec<_> = findings.iter().map(|finding| finding.section).collect();
    sections.dedup();
    let expected = ["Cluster", "Operator", "Webhook", "Certificates", "TraceBuffers", "Pods"];
    assert_eq!(sections, expected);
}

#[test]
fn what_may_not_be_seen_is_skipped_and_fails_nothing() {
    let forbidden = || "pods is forbidden".to_owned();
    let mut facts = healthy_installation();
    facts.crd = Fetched::Forbidden(forbidden());
    facts.operator.webhook_configuration = Fetched::Forbidden(forbidden());
    facts.operator.deployment = Fetched::Forbidden(forbidden());
    facts.certificate_secret = Fetched::Forbidden(forbidden());
    facts.dry_run.1 = Fetched::Forbidden(forbidden());
    facts.trace_buffers = Fetched::Forbidden(forbidden());
    facts.pods = Fetched::Forbidden(forbidden());
    facts.injected_pods = Fetched::Forbidden(forbidden());

    let findings = check(&facts);

    assert_eq!(worst_state(&findings), FindingState::Ok, "{findings:#?}");
    let skipped = findings.iter().filter(|finding| finding.state == FindingState::Skipped);
    assert_eq!(skipped.count(), 7, "{findings:#?}");
}

#[test]
fn what_gives_no_answer_fails_and_says_what_was_said() {
    let (why, say) = (|| "etcdserver: timed out".to_owned(), "cannot be read: etcdserver");
    let crd = "tracebuffers.tracebuffer.dev";

    assert_single_problem(
        |f| f.crd = Fetched::Failed(why()),
        "Cluster",
        crd,
        FindingState::Failed,
        say,
    );
    let silent = |f: &mut CheckInput| f.operator.deployment = Fetched::Failed(why());
    assert_single_problem(silent, "Operator", "pods", FindingState::Failed, say);
}

#[test]
fn an_installation_of_which_parts_are_gone_says_what_brings_them() {
    assert_single_problem(
        |facts| facts.operator.deployment = Fetched::NotFound,
        "Operator",
        "pods",
        FindingState::Failed,
        "Deployment was not found",
    );
    assert_single_problem(
        |facts| {
            let mut webhook = facts.operator.webhook_configuration.get().cloned().unwrap();
            webhook.webhooks.iter_mut().flatten().for_each(|entry| entry.name = "other".into());
            facts.operator.webhook_configuration = Fetched::Found(webhook);
        },
        "Webhook",
        "configuration",
        FindingState::Failed,
        "has no entry inject.tracebuffer.dev",
    );
    assert_single_problem(
        |facts| {
            let mut deployment = facts.operator.deployment.get().cloned().unwrap();
            deployment.metadata.labels = None;
            facts.operator.deployment = Fetched::Found(deployment);
        },
        "Operator",
        "version",
        FindingState::Skipped,
        "has no label",
    );
}

#[test]
fn an_old_cluster_fails() {
    let old = |facts: &mut CheckInput| facts.version = Fetched::Found((1, 28, "v".into()));

    assert_single_problem(old, "Cluster", "version", FindingState::Failed, "older than 1.29");
}

#[test]
fn a_resource_definition_that_is_missing_unserved_or_another_is_found() {
    let name = "tracebuffers.tracebuffer.dev";
    let change = |edit: fn(&mut Value)| {
        move |facts: &mut CheckInput| {
            let mut crd = serde_json::to_value(facts.crd.get()).unwrap();
            edit(&mut crd);
            facts.crd = Fetched::Found(from_json(crd));
        }
    };

    assert_single_problem(
        |f| f.crd = Fetched::NotFound,
        "Cluster",
        name,
        FindingState::Failed,
        "is missing",
    );
    let served = change(|crd| crd["spec"]["versions"][0]["served"] = false.into());
    assert_single_problem(served, "Cluster", name, FindingState::Failed, "not served");
    let pending = change(|crd| crd["status"] = Value::Null);
    assert_single_problem(pending, "Cluster", name, FindingState::Failed, "not served");
    let other = change(|crd| crd["spec"]["versions"][0]["name"] = "v1".into());
    assert_single_problem(other, "Cluster", name, FindingState::Failed, "v1alpha1 is not defined");
    let older = change(|crd| {
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "old".into();
    });
    assert_single_problem(older, "Cluster", name, FindingState::Warning, "not that of this binary");
}

#[test]
fn an_operator_that_is_missing_unready_or_of_another_version_is_found() {
    let change = |path: &'static str, value: Value| {
        move |facts: &mut CheckInput| {
            let mut deployment = serde_json::to_value(facts.operator.deployment.get()).unwrap();
            *deployment.pointer_mut(path).unwrap() = value;
            facts.operator.deployment = Fetched::Found(from_json(deployment));
        }
    };
    let ready = "/status/readyReplicas";

    assert_single_problem(
        change(ready, 0.into()),
        "Operator",
        "pods",
        FindingState::Failed,
        "0 of 2 pods",
    );
    assert_single_problem(
        change(ready, 1.into()),
        "Operator",
        "pods",
        FindingState::Warning,
        "1 of 2 pods",
    );
    let label = change("/metadata/labels", json!({"app.kubernetes.io/version": "9.9.9"}));
    assert_single_problem(label, "Operator", "version", FindingState::Warning, "version 9.9.9");
}

#[test]
fn a_webhook_without_its_configuration_or_trust_is_found() {
    let none = problems(|facts| facts.operator.webhook_configuration = Fetched::NotFound);
    assert!(
        none.iter()
            .any(|(_, name, state, _)| name == "configuration" && *state == FindingState::Failed)
    );
    let unreached = none.iter().find(|(_, name, ..)| name == "reachable").unwrap();
    assert_eq!(unreached.2, FindingState::Skipped);

    let untrusted = problems(|facts| {
        let mut webhook = facts.operator.webhook_configuration.get().cloned().unwrap();
        webhook.webhooks.as_mut().unwrap()[0].client_config.ca_bundle = None;
        facts.operator.webhook_configuration = Fetched::Found(webhook);
    });
    assert!(untrusted[0].3.contains("has no caBundle"), "{untrusted:?}");
}

#[test]
fn a_pod_that_comes_back_without_an_answer_proves_that_the_webhook_is_not_reached() {
    let bare = |facts: &mut CheckInput| {
        facts.dry_run.1 = Fetched::Found(from_json(json!({"metadata": {}})));
    };
    assert_single_problem(bare, "Webhook", "reachable", FindingState::Failed, "without an answer");

    let skipped = |facts: &mut CheckInput| {
        let status = r#"{"skipped":"NoTraceBuffer","message":"none"}"#;
        let annotations = json!({"tracebuffer.dev/status": status});
        facts.dry_run.1 =
            Fetched::Found(from_json(json!({"metadata": {"annotations": annotations}})));
    };
    assert_eq!(problems(skipped), []);
}

#[test]
fn a_dry_run_that_others_refuse_proves_nothing() {
    let refused = |facts: &mut CheckInput| {
        facts.dry_run.1 =
            Fetched::Forbidden("admission webhook \"policy\" denied the request".into());
    };
    assert_single_problem(
        refused,
        "Webhook",
        "reachable",
        FindingState::Warning,
        "was refused: admission",
    );
    let excluded = |facts: &mut CheckInput| facts.dry_run.0 = facts.operator.namespace.clone();
    assert_single_problem(
        excluded,
        "Webhook",
        "reachable",
        FindingState::Skipped,
        "is excluded from injection",
    );
    let nowhere = |facts: &mut CheckInput| facts.dry_run.1 = Fetched::NotFound;
    assert_single_problem(
        nowhere,
        "Webhook",
        "reachable",
        FindingState::Warning,
        "no namespace shop",
    );
}

#[test]
fn certificates_are_found_before_and_after_they_expire() {
    let later = |days: i64| move |facts: &mut CheckInput| facts.now = NOW + days * DAY;

    let soon = problems(later(55));
    assert_eq!(soon.len(), 2, "{soon:?}");
    assert!(soon.iter().all(|(_, _, state, _)| *state == FindingState::Warning));
    assert!(soon[0].3.contains("expires in 5 days"), "{soon:?}");
    let over = problems(later(61));
    assert_eq!(over.len(), 2, "{over:?}");
    assert!(
        over.iter()
            .all(|(_, _, state, say)| *state == FindingState::Failed && say.contains("expired"))
    );
}

#[test]
fn a_served_certificate_that_the_bundle_does_not_trust_is_found() {
    let foreign = |facts: &mut CheckInput| {
        let leaf = k8s_openapi::ByteString(webhook_tls(NOW + 60 * DAY).leaf);
        facts.certificate_secret = Fetched::Found(from_json(
            json!({"metadata": {"name": "s"}, "data": {"tls.crt": leaf}}),
        ));
    };
    assert_single_problem(foreign, "Certificates", "trust", FindingState::Failed, "does not trust");
    let rubbish = |facts: &mut CheckInput| {
        let data = json!({"tls.crt": k8s_openapi::ByteString(b"rubbish".to_vec())});
        facts.certificate_secret =
            Fetched::Found(from_json(json!({"metadata": {"name": "s"}, "data": data})));
    };
    assert_single_problem(
        rubbish,
        "Certificates",
        "served",
        FindingState::Failed,
        "no PEM certificate",
    );
}

#[test]
fn trace_buffers_that_are_refused_unready_or_unseen_are_named() {
    let status = |status: Value| {
        move |facts: &mut CheckInput| {
            let mut object = trace_buffer();
            object.status = from_json(status);
            facts.trace_buffers = Fetched::Found(vec![trace_buffer(), object]);
        }
    };
    let with = |condition| json!({"observedGeneration": 2, "conditions": [condition]});

    let refused = status(with(condition("Accepted", "False", "spec.buffer is wrong")));
    assert_single_problem(
        refused,
        "TraceBuffers",
        "shop/default",
        FindingState::Failed,
        "spec.buffer is wrong",
    );
    let unready = status(with(condition("Ready", "False", "no operator")));
    assert_single_problem(
        unready,
        "TraceBuffers",
        "shop/default",
        FindingState::Warning,
        "Ready=False: no operator",
    );
    let unseen = status(json!({"observedGeneration": 1, "conditions": []}));
    assert_single_problem(
        unseen,
        "TraceBuffers",
        "shop/default",
        FindingState::Warning,
        "not looked at",
    );
    assert_single_problem(
        status(Value::Null),
        "TraceBuffers",
        "shop/default",
        FindingState::Warning,
        "not looked at",
    );
}

/// Adds a pod with these annotations.
fn add_pod(annotations: Value) -> impl FnOnce(&mut CheckInput) {
    move |facts| facts.pods = Fetched::Found(vec![pod_metadata("b", &annotations)])
}

#[test]
fn pods_without_a_sidecar_with_an_old_one_or_skipped_are_named() {
    let bare = add_pod(json!({"tracebuffer.dev/inject": "true"}));
    assert_single_problem(
        bare,
        "Pods",
        "missing",
        FindingState::Warning,
        "1 pod asking for a sidecar",
    );

    let status = r#"{"skipped":"HostNetwork","message":"m"}"#;
    let annotations = json!({"tracebuffer.dev/inject": "true", "tracebuffer.dev/status": status});
    assert_single_problem(
        add_pod(annotations),
        "Pods",
        "skipped",
        FindingState::Warning,
        "shop/b (HostNetwork)",
    );

    let status = r#"{"injected":"shop/default","uid":"u-1","hash":"old","maxBytes":1}"#;
    let outdated = add_pod(json!({"tracebuffer.dev/status": status}));
    assert_single_problem(outdated, "Pods", "outdated", FindingState::Warning, "shop/b");

    let status = r#"{"injected":"shop/gone","uid":"u-1","hash":"old","maxBytes":1}"#;
    let orphaned = add_pod(json!({"tracebuffer.dev/status": status}));
    assert_single_problem(
        orphaned,
        "Pods",
        "orphaned",
        FindingState::Warning,
        "shop/b (shop/gone)",
    );
}

#[test]
fn a_sidecar_of_a_trace_buffer_recreated_with_the_same_spec_is_current() {
    let recreated = |facts: &mut CheckInput| {
        let mut object = trace_buffer();
        object.metadata.uid = Some("u-2".to_owned());
        facts.trace_buffers = Fetched::Found(vec![object]);
    };
    assert_eq!(problems(recreated), []);
}

#[test]
fn a_sidecar_whose_memory_is_too_small_for_a_raised_max_bytes_is_outdated() {
    let raised = |facts: &mut CheckInput| {
        let mut object = trace_buffer();
        object.spec.buffer.max_bytes.0 = "64Mi".to_owned();
        facts.trace_buffers = Fetched::Found(vec![object]);
    };
    assert_single_problem(raised, "Pods", "outdated", FindingState::Warning, "shop/a");
}

#[test]
fn pods_that_want_no_sidecar_are_left_alone() {
    for annotations in [
        json!({}),
        json!({"tracebuffer.dev/inject": "false"}),
        json!({"tracebuffer.dev/status": r#"{"skipped":"OptedOut","message":"m"}"#}),
    ] {
        assert_eq!(problems(add_pod(annotations)), []);
    }
}

#[test]
fn a_pod_of_a_namespace_that_asks_is_expected_to_have_a_sidecar() {
    let asked = |facts: &mut CheckInput| {
        let labels = json!({"tracebuffer.dev/inject": "true"});
        facts.namespaces = vec![from_json(json!({"name": "shop", "labels": labels}))];
        add_pod(json!({}))(facts);
    };
    assert_single_problem(asked, "Pods", "missing", FindingState::Warning, "shop/b");
}

#[test]
fn a_pod_of_an_excluded_namespace_that_asks_for_a_sidecar_is_reported_as_skipped() {
    let excluded = |facts: &mut CheckInput| {
        facts.operator.namespace = "shop".to_owned();
        add_pod(json!({"tracebuffer.dev/inject": "true"}))(facts);
    };
    let found = problems(excluded);
    let skipped = found.iter().find(|(_, name, ..)| name == "skipped");
    assert!(skipped.is_some_and(|(.., message)| message.contains("shop/b (ExcludedNamespace)")));
    assert!(!found.iter().any(|(_, name, ..)| name == "missing"), "{found:?}");
}

#[test]
fn a_label_that_means_nothing_on_a_namespace_is_told() {
    let labelled = |facts: &mut CheckInput| {
        let labels = json!({"tracebuffer.dev/inject": "traces"});
        facts.namespaces = vec![from_json(json!({"name": "shop", "labels": labels}))];
    };
    assert_single_problem(
        labelled,
        "Pods",
        "namespaces",
        FindingState::Warning,
        "shop: label tracebuffer.dev/inject",
    );
}

#[test]
fn whether_a_sidecar_is_current_is_left_open_where_not_all_trace_buffers_are_seen() {
    let status = r#"{"injected":"other/gone","uid":"u-1","hash":"old","maxBytes":1}"#;
    let elsewhere = |facts: &mut CheckInput| {
        facts.is_single_namespace = true;
        add_pod(json!({"tracebuffer.dev/status": status}))(facts);
    };
    assert_eq!(problems(elsewhere), []);
}

#[test]
fn sidecars_with_another_image_are_named_unless_their_trace_buffer_chose_it() {
    let old = |facts: &mut CheckInput| {
        facts.injected_pods =
            Fetched::Found(vec![injected_pod("a", IMAGE), injected_pod("b", "old:1")]);
    };
    assert_single_problem(old, "Pods", "images", FindingState::Warning, "shop/b (old:1)");

    let chosen = |facts: &mut CheckInput| {
        old(facts);
        let mut object = trace_buffer();
        object.spec.sidecar.image = Some("old:1".to_owned());
        facts.trace_buffers = Fetched::Found(vec![object]);
        facts.pods = Fetched::Found(vec![]);
    };
    assert_eq!(problems(chosen), []);
}

#[test]
fn a_pod_that_is_being_deleted_is_left_alone() {
    let ending = |facts: &mut CheckInput| {
        let mut pod = pod_metadata("b", &json!({"tracebuffer.dev/inject": "true"}));
        pod.metadata.deletion_timestamp = Some(from_json(json!("2033-01-01T00:00:00Z")));
        facts.pods = Fetched::Found(vec![pod, pod_metadata("a", &injected_annotations())]);
    };
    assert_eq!(problems(ending), []);
}

#[test]
fn many_names_are_cut() {
    let names: Vec<_> = (1..=7).map(|number| format!("p{number}")).collect();

    assert_eq!(join_names(&names), "p1, p2, p3, p4, p5 and 2 more");
    assert_eq!(join_names(&names[..1]), "p1");
}
