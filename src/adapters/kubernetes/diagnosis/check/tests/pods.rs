use super::*;

/// Adds a pod with these annotations.
fn add_pod(annotations: Value) -> impl FnOnce(&mut CheckInput) {
    move |input| input.pods = Fetched::Found(vec![pod_metadata("b", &annotations)])
}

#[test]
fn missing_skipped_outdated_and_orphaned_pods_are_named() {
    let missing = add_pod(json!({"tracebuffer.dev/inject": "true"}));
    assert_single_problem(
        missing,
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
fn a_sidecar_that_does_not_run_is_a_failure_and_not_current() {
    let crash = |input: &mut CheckInput| {
        let mut pod = serde_json::to_value(injected_pod("a", IMAGE)).unwrap();
        pod["status"]["initContainerStatuses"][0]["state"] =
            json!({"waiting": {"reason": "ImagePullBackOff"}});
        input.injected_pods = Fetched::Found(vec![from_json(pod)]);
    };
    let mut input = healthy_installation();
    crash(&mut input);

    let findings = check(&input);

    let current = findings.iter().find(|finding| finding.name == "current").unwrap();
    assert_eq!(current.message, "0 pods with a current sidecar");
    assert_single_problem(
        crash,
        "Pods",
        "failing",
        FindingState::Failed,
        "1 pod whose sidecar does not run: shop/a (ImagePullBackOff)",
    );
}

#[test]
fn pods_that_bypass_their_sidecar_are_named() {
    let mut annotations = injected_annotations();
    let status = annotations["tracebuffer.dev/status"].as_str().unwrap();
    annotations["tracebuffer.dev/status"] = status.replace('}', r#","bypassed":true}"#).into();

    assert_single_problem(
        add_pod(annotations),
        "Pods",
        "bypassing",
        FindingState::Warning,
        "1 pod with a container whose traces do not reach the sidecar: shop/b",
    );
}

#[test]
fn a_sidecar_of_a_trace_buffer_that_no_longer_allows_the_namespace_is_reported_as_such() {
    let narrowed = |input: &mut CheckInput| {
        let mut object = trace_buffer();
        object.metadata.namespace = Some("platform".to_owned());
        object.spec.destination.endpoint = "http://another:4317".to_owned();
        input.trace_buffers = Fetched::Found(vec![object]);
        input.pods = Fetched::Found(vec![]);
        input.namespaces = vec![from_json(json!({"name": "shop"}))];
        let status = r#"{"injected":"platform/default","uid":"u-1","hash":"old","maxBytes":1}"#;
        add_pod(json!({"tracebuffer.dev/status": status}))(input);
    };
    assert_single_problem(
        narrowed,
        "Pods",
        "not allowed",
        FindingState::Warning,
        "shop/b (platform/default)",
    );
}

#[test]
fn a_sidecar_of_a_trace_buffer_recreated_with_the_same_spec_is_current() {
    let recreated = |input: &mut CheckInput| {
        let mut object = trace_buffer();
        object.metadata.uid = Some("u-2".to_owned());
        input.trace_buffers = Fetched::Found(vec![object]);
    };
    assert_eq!(problems(recreated), []);
}

#[test]
fn a_sidecar_whose_memory_is_too_small_for_a_raised_max_bytes_is_outdated() {
    let raised = |input: &mut CheckInput| {
        let mut object = trace_buffer();
        object.spec.buffer.max_bytes.0 = "64Mi".to_owned();
        input.trace_buffers = Fetched::Found(vec![object]);
    };
    assert_single_problem(raised, "Pods", "outdated", FindingState::Warning, "shop/a");
}

#[test]
fn pods_that_do_not_ask_for_a_sidecar_are_not_reported() {
    for annotations in [
        json!({}),
        json!({"tracebuffer.dev/inject": "false"}),
        json!({"tracebuffer.dev/status": r#"{"skipped":"OptedOut","message":"m"}"#}),
    ] {
        assert_eq!(problems(add_pod(annotations)), []);
    }
}

#[test]
fn a_pod_of_an_opted_in_namespace_without_a_sidecar_is_missing() {
    let asked = |input: &mut CheckInput| {
        let labels = json!({"tracebuffer.dev/inject": "true"});
        input.namespaces = vec![from_json(json!({"name": "shop", "labels": labels}))];
        add_pod(json!({}))(input);
    };
    assert_single_problem(asked, "Pods", "missing", FindingState::Warning, "shop/b");
}

#[test]
fn a_pod_of_an_excluded_namespace_that_asks_for_a_sidecar_is_reported_as_skipped() {
    let excluded = |input: &mut CheckInput| {
        input.operator.namespace = "shop".to_owned();
        add_pod(json!({"tracebuffer.dev/inject": "true"}))(input);
    };
    let found = problems(excluded);
    let skipped = found.iter().find(|(_, name, ..)| name == "skipped");
    assert!(skipped.is_some_and(|(.., message)| message.contains("shop/b (ExcludedNamespace)")));
    assert!(!found.iter().any(|(_, name, ..)| name == "missing"), "{found:?}");
}

#[test]
fn an_invalid_label_of_a_namespace_is_reported() {
    let labelled = |input: &mut CheckInput| {
        let labels = json!({"tracebuffer.dev/inject": "traces"});
        input.namespaces = vec![from_json(json!({"name": "shop", "labels": labels}))];
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
fn within_one_namespace_only_sidecars_of_trace_buffers_of_others_are_unknown() {
    let status = r#"{"injected":"other/gone","uid":"u-1","hash":"old","maxBytes":1}"#;
    let elsewhere = |input: &mut CheckInput| {
        input.is_single_namespace = true;
        add_pod(json!({"tracebuffer.dev/status": status}))(input);
    };
    let message = "1 pod with a sidecar whose TraceBuffer was not read or has errors";
    assert_single_problem(elsewhere, "Pods", "unknown", FindingState::Skipped, message);

    let changed = |input: &mut CheckInput| {
        input.is_single_namespace = true;
        let mut object = trace_buffer();
        object.spec.destination.endpoint = "http://another:4317".to_owned();
        input.trace_buffers = Fetched::Found(vec![object]);
    };
    assert_single_problem(changed, "Pods", "outdated", FindingState::Warning, "shop/a");
}

#[test]
fn sidecars_with_another_image_are_named_unless_a_trace_buffer_sets_it() {
    let old = |input: &mut CheckInput| {
        input.injected_pods =
            Fetched::Found(vec![injected_pod("a", IMAGE), injected_pod("b", "old:1")]);
    };
    assert_single_problem(old, "Pods", "images", FindingState::Warning, "shop/b (old:1)");

    let chosen = |input: &mut CheckInput| {
        old(input);
        let mut object = trace_buffer();
        object.spec.sidecar.image = Some("old:1".to_owned());
        input.trace_buffers = Fetched::Found(vec![object]);
        input.pods = Fetched::Found(vec![]);
    };
    assert_eq!(problems(chosen), []);
}

#[test]
fn a_terminating_pod_is_not_reported() {
    let ending = |input: &mut CheckInput| {
        let mut pod = pod_metadata("b", &json!({"tracebuffer.dev/inject": "true"}));
        pod.metadata.deletion_timestamp = Some(from_json(json!("2033-01-01T00:00:00Z")));
        input.pods = Fetched::Found(vec![pod, pod_metadata("a", &injected_annotations())]);
    };
    assert_eq!(problems(ending), []);
}
