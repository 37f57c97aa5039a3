//! Why a sidecar does not run, by the status that the kubelet reports of its container.

use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
};

use crate::adapters::kubernetes::names::SIDECAR_CONTAINER;
use crate::domain::operator::reconcile::managed_pod::SidecarFailure;
use crate::domain::text::in_one_line;

/// Maximum characters of a message, part of which is written by whoever provides the image.
const MAX_MESSAGE_CHARS: usize = 512;
/// The reasons for which a container waits while its pod starts.
const STARTING_REASONS: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// The reason for which it waits after it has ended several times.
const CRASHING_REASON: &str = "CrashLoopBackOff";

/// Returns the status of the sidecar among those of a pod's init containers and containers.
pub(in crate::adapters::kubernetes) fn sidecar_status(
    lists: [&Option<Vec<ContainerStatus>>; 2],
) -> Option<&ContainerStatus> {
    lists.into_iter().flatten().flatten().find(|status| status.name == SIDECAR_CONTAINER)
}

/// Returns why the container does not run; `None` while it runs, starts, or has completed.
pub(in crate::adapters::kubernetes) fn sidecar_failure(
    status: &ContainerStatus,
) -> Option<SidecarFailure> {
    let state = status.state.as_ref()?;
    if let Some(terminated) = &state.terminated {
        // Exit code 0 is normal at the end of a pod that runs to completion.
        return (terminated.exit_code != 0).then(|| failure("Exited", &describe_exit(terminated)));
    }
    let waiting = state.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or("PodInitializing");
    if STARTING_REASONS.contains(&reason) {
        return None;
    }
    let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    Some(failure(reason, &describe_wait(reason, waiting, last)))
}

fn failure(reason: &str, message: &str) -> SidecarFailure {
    SidecarFailure {
        reason: in_one_line(reason, MAX_MESSAGE_CHARS),
        message: in_one_line(message, MAX_MESSAGE_CHARS),
    }
}

fn describe_wait(
    reason: &str,
    waiting: &ContainerStateWaiting,
    last: Option<&ContainerStateTerminated>,
) -> String {
    match (last, &waiting.message) {
        // The kubelet's message has the pod's name, and how long it waits.
        (Some(last), _) if reason == CRASHING_REASON => {
            format!("{reason}: it {}", describe_exit(last))
        }
        (_, Some(message)) => format!("{reason}: {message}"),
        (_, None) => reason.to_owned(),
    }
}

fn describe_exit(terminated: &ContainerStateTerminated) -> String {
    let mut text = format!("exited with code {}", terminated.exit_code);
    // `Error` says no more than the code does.
    if let Some(reason) = terminated.reason.as_deref().filter(|reason| *reason != "Error") {
        text = format!("{text} ({reason})");
    }
    match &terminated.message {
        Some(message) => format!("{text}: {message}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns the reason and the message for a container in this state.
    fn failure_in(state: &Value, last: &Value) -> Option<(String, String)> {
        let status: ContainerStatus = serde_json::from_value(json!({
            "name": SIDECAR_CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": state, "lastState": last,
        }))
        .unwrap();
        sidecar_failure(&status).map(|failure| (failure.reason, failure.message))
    }

    #[test]
    fn a_container_that_starts_runs_or_has_completed_does_not_fail() {
        for state in [
            json!(null),
            json!({}),
            json!({"waiting": {}}),
            json!({"waiting": {"reason": "PodInitializing"}}),
            json!({"waiting": {"reason": "ContainerCreating"}}),
            json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}),
            json!({"terminated": {"exitCode": 0, "reason": "Completed"}}),
        ] {
            assert_eq!(failure_in(&state, &json!(null)), None, "{state}");
        }
    }

    #[test]
    fn whatever_else_a_container_waits_for_is_a_failure_with_the_words_of_the_kubelet() {
        for reason in ["ErrImagePull", "CreateContainerConfigError", "SomeLaterReason"] {
            let state = json!({"waiting": {"reason": reason, "message": "no\nsuch thing"}});

            let (short, long) = failure_in(&state, &json!(null)).unwrap();

            assert_eq!(short, reason);
            assert_eq!(long, format!("{reason}: no; such thing"));
        }
    }

    #[test]
    fn a_crash_is_described_by_its_exit_and_termination_message() {
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
        let exit = json!({"exitCode": 78, "reason": "Error", "message": "no endpoint is set"});
        let oom = json!({"exitCode": 137, "reason": "OOMKilled"});

        assert_eq!(
            failure_in(&waiting, &json!({"terminated": exit})).unwrap().1,
            "CrashLoopBackOff: it exited with code 78: no endpoint is set"
        );
        assert_eq!(
            failure_in(&json!({"terminated": oom}), &json!(null)).unwrap(),
            ("Exited".into(), "exited with code 137 (OOMKilled)".into())
        );
    }

    #[test]
    fn a_message_is_bounded() {
        let exit = json!({"exitCode": 1, "message": "é".repeat(4096)});

        let (_, message) = failure_in(&json!({"terminated": exit}), &json!(null)).unwrap();

        assert!(message.chars().count() <= MAX_MESSAGE_CHARS + 1);
    }
}
