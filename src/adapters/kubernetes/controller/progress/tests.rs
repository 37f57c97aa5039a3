use serde_json::{Value, json};

use super::*;
use RolloutProgress::{Complete, Failed, Progressing};

fn unblocked(progress: RolloutProgress) -> ProgressReport {
    ProgressReport { progress, restart_blocker: None, keeps_broken_pods: false }
}

fn of_deployment(spec: &Value, status: &Value) -> ProgressReport {
    let mut spec = spec.clone();
    spec["selector"] = json!({});
    spec["template"] = json!({});
    let object = json!({ "metadata": { "generation": 2 }, "spec": spec, "status": status });
    deployment(&serde_json::from_value(object).unwrap())
}

fn of_stateful_set(spec: &Value, status: &Value) -> ProgressReport {
    let mut spec = spec.clone();
    spec["selector"] = json!({});
    spec["template"] = json!({});
    spec["serviceName"] = json!("s");
    let object = json!({ "metadata": { "generation": 2 }, "spec": spec, "status": status });
    stateful_set(&serde_json::from_value(object).unwrap())
}

fn of_daemon_set(spec: &Value, status: &Value) -> ProgressReport {
    let mut spec = spec.clone();
    spec["selector"] = json!({});
    spec["template"] = json!({});
    let mut all = json!({
        "currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberMisscheduled": 0,
        "numberReady": 2,
    });
    for (key, value) in status.as_object().unwrap() {
        all[key] = value.clone();
    }
    let object = json!({ "metadata": { "generation": 2 }, "spec": spec, "status": all });
    daemon_set(&serde_json::from_value(object).unwrap())
}

#[test]
fn a_deployment_is_complete_when_all_its_pods_are_new_and_available() {
    let two = json!({ "replicas": 2 });
    for (observed, replicas, updated, available, expected) in [
        (2, 2, 2, 2, Complete),
        (1, 2, 2, 2, Progressing),
        (2, 3, 2, 2, Progressing),
        (2, 2, 1, 2, Progressing),
        (2, 2, 2, 1, Progressing),
        (2, 0, 0, 0, Progressing),
    ] {
        let status = json!({
            "observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated,
            "availableReplicas": available,
        });
        assert_eq!(of_deployment(&two, &status), unblocked(expected), "{status}");
    }
}

#[test]
fn a_deployment_without_replicas_is_complete() {
    let status = json!({ "observedGeneration": 2 });

    assert_eq!(of_deployment(&json!({ "replicas": 0 }), &status).progress, Complete);
}

#[test]
fn a_deployment_past_its_deadline_has_failed_for_the_generation_that_was_seen() {
    let condition = json!({
        "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        "message": "ReplicaSet \"web-2\" has timed out progressing.",
    });
    let mut status = json!({ "observedGeneration": 2, "conditions": [condition] });
    let reason = "ReplicaSet \"web-2\" has timed out progressing.".to_owned();
    assert_eq!(of_deployment(&json!({}), &status).progress, Failed(reason));

    status["observedGeneration"] = json!(1);
    assert_eq!(of_deployment(&json!({}), &status).progress, Progressing);
}

#[test]
fn a_stateful_set_is_complete_when_all_are_ready_and_of_one_revision() {
    let two = json!({ "replicas": 2 });
    for (observed, ready, current, expected) in [
        (2, 2, "b", Complete),
        (1, 2, "b", Progressing),
        (2, 1, "b", Progressing),
        (2, 2, "a", Progressing),
    ] {
        let status = json!({
            "observedGeneration": observed, "replicas": 2, "readyReplicas": ready,
            "currentRevision": current, "updateRevision": "b", "updatedReplicas": 2,
        });
        assert_eq!(of_stateful_set(&two, &status).progress, expected, "{status}");
    }
}

#[test]
fn pods_below_the_partition_are_not_updated() {
    let spec = json!({
        "replicas": 3,
        "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } },
    });
    let status = |updated| {
        json!({
            "observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "currentRevision": "a",
            "updateRevision": "b", "updatedReplicas": updated,
        })
    };

    assert_eq!(of_stateful_set(&spec, &status(0)).progress, Progressing);
    assert_eq!(of_stateful_set(&spec, &status(1)).progress, Complete);
}

#[test]
fn a_daemon_set_is_complete_when_every_node_has_an_available_new_pod() {
    for (observed, updated, available, expected) in [
        (2, 2, 2, Complete),
        (1, 2, 2, Progressing),
        (2, 1, 2, Progressing),
        (2, 2, 1, Progressing),
    ] {
        let status = json!({
            "observedGeneration": observed, "updatedNumberScheduled": updated,
            "numberAvailable": available,
        });
        assert_eq!(of_daemon_set(&json!({}), &status), unblocked(expected), "{status}");
    }
}

#[test]
fn a_workload_that_a_restart_would_not_change_has_a_restart_blocker() {
    let on_delete = json!({ "updateStrategy": { "type": "OnDelete" } });

    assert_eq!(of_deployment(&json!({ "paused": true }), &json!({})).restart_blocker, Some(PAUSED));
    assert_eq!(
        of_stateful_set(&on_delete, &json!({ "replicas": 0 })).restart_blocker,
        Some(ON_DELETE)
    );
    assert_eq!(of_daemon_set(&on_delete, &json!({})).restart_blocker, Some(ON_DELETE));
}

#[test]
fn a_stateful_set_keeps_broken_pods_unless_it_manages_them_in_parallel() {
    for (policy, expected) in
        [(None, true), (Some("OrderedReady"), true), (Some("Parallel"), false)]
    {
        let spec = json!({ "podManagementPolicy": policy });

        assert_eq!(of_stateful_set(&spec, &json!({ "replicas": 0 })).keeps_broken_pods, expected);
    }
}
