//! Sidecars that do not run, and what the webhook warned of.

use std::time::Duration;

use crate::application::operator::reconcile::fakes::{
    Harness, RecordedWrite, image_pull_failure, injected_pod, key, restarting, seconds, snapshot,
    workload_status,
};
use crate::domain::final_ledger::{FinalLedger, LossReason};
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::status::{InjectedSidecar, InjectionStatus};
use crate::domain::operator::reconcile::rollout::RolloutProgress::{Complete, Progressing};
use crate::domain::operator::reconcile::sidecar_state::injected_sidecar;
use crate::domain::operator::reconcile::trace_buffer_snapshot::TraceBufferSnapshot;
use crate::domain::operator::reconcile::trace_buffer_status::PodCounts;
use crate::ports::operator::cluster::Cluster;
use crate::ports::operator::pods::ChangeHandler;

/// A pod with a warning about a container that bypasses the sidecar.
fn warned_pod(name: &str, owner: &str) -> PodSnapshot {
    let pod = injected_pod(name, owner, "h1");
    let injected = injected_sidecar(&pod).unwrap().clone();
    let warnings = vec!["the traces of container \"a\" bypass the buffer".to_owned()];
    let status = InjectedSidecar { is_bypassed: true, warnings, ..injected };
    PodSnapshot { status: Some(InjectionStatus::Injected(status)), ..pod }
}

/// The reason and the message of condition `RolledOut`.
fn rolled_out(harness: &Harness) -> (String, String) {
    let status = harness.cluster.status(&key("shop", "traces")).unwrap();
    let condition = status.conditions.into_iter().find(|one| one.type_ == "RolledOut").unwrap();
    (condition.reason, condition.message)
}

#[tokio::test(start_paused = true)]
async fn pods_whose_sidecar_does_not_run_are_counted_apart_and_their_owner_is_told_once() {
    let pods = [
        injected_pod("a", "web-1", "h1"),
        injected_pod("b", "web-1", "h1"),
        injected_pod("c", "web-1", "h0"),
    ];
    let harness = Harness::with_leader(&[snapshot()], &pods).await;
    let _ = harness.cluster.events();

    harness.cluster.set_sidecar_failure(&pods[1], Some(image_pull_failure()));
    harness.cluster.set_sidecar_failure(&pods[2], Some(image_pull_failure()));
    seconds(900).await;

    let counts = || harness.cluster.status(&key("shop", "traces")).unwrap().pods;
    assert_eq!(counts(), PodCounts { total: 3, current: 1, failing: 2, ..PodCounts::default() });
    assert_eq!(
        harness.cluster.events(),
        [("web".to_owned(), "SidecarFailing", "ImagePullBackOff".to_owned())]
    );

    harness.cluster.set_sidecar_failure(&pods[1], None);
    harness.cluster.set_sidecar_failure(&pods[2], None);
    seconds(5).await;

    assert_eq!(counts(), PodCounts { total: 3, current: 2, outdated: 1, ..PodCounts::default() });
}

#[tokio::test(start_paused = true)]
async fn what_the_webhook_warned_of_is_counted_and_an_event_on_the_owner() {
    let pods =
        [warned_pod("a", "web-1"), warned_pod("b", "web-1"), injected_pod("c", "web-1", "h1")];

    let harness = Harness::with_leader(&[snapshot()], &[]).await;
    for pod in pods {
        harness.cluster.put_pod(pod);
    }
    seconds(900).await;

    let status = harness.cluster.status(&key("shop", "traces")).unwrap();
    let expected = PodCounts { total: 3, current: 3, bypassing: 2, ..PodCounts::default() };
    assert_eq!(status.pods, expected);
    let events = harness.cluster.events();
    let reasons: Vec<_> =
        events.iter().map(|(owner, reason, _)| (owner.as_str(), *reason)).collect();
    assert_eq!(reasons, [("web", "Injected"), ("web", "InjectionWarning")]);

    harness.leading.send(false).unwrap();
    seconds(5).await;
    harness.lead().await;
    seconds(60).await;
    assert_eq!(harness.cluster.events(), [], "the next leader does not repeat them");
}

#[tokio::test(start_paused = true)]
async fn a_changed_trace_buffer_is_never_rolled_out_before_its_workloads_were_read() {
    let pod = injected_pod("a1", "a-1", "h1");
    let harness = Harness::with_leader(&[restarting("h1", Duration::ZERO)], &[pod]).await;
    seconds(10).await;
    assert_eq!(rolled_out(&harness).0, "Complete");
    let _ = harness.cluster.writes();

    let before = harness.cluster.status(&key("shop", "traces"));
    harness.cluster.set_workload("a", workload_status(None, Complete));
    let changed =
        TraceBufferSnapshot { generation: 2, status: before, ..restarting("h2", Duration::ZERO) };
    harness.cluster.put_trace_buffer(changed);
    seconds(2).await;

    let reasons: Vec<_> =
        harness.cluster.writes().into_iter().filter_map(reason_in_status).collect();
    assert_eq!(reasons, ["Pending", "Restarting"]);
}

/// The reason of condition `RolledOut` in a status that was written.
fn reason_in_status(write: RecordedWrite) -> Option<String> {
    let RecordedWrite::Status(_, status) = write else { return None };
    let mut conditions = status.conditions.into_iter();
    conditions.find(|one| one.type_ == "RolledOut").map(|condition| condition.reason)
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_is_refused_is_told_in_the_status() {
    let pod = injected_pod("a1", "a-1", "h1");
    let harness = Harness::with_leader(&[restarting("h1", Duration::ZERO)], &[pod]).await;
    harness.cluster.set_workload("a", workload_status(None, Complete));
    harness.cluster.reject_restarts();

    harness.cluster.put_trace_buffer(restarting("h2", Duration::ZERO));
    seconds(30).await;

    assert_eq!(rolled_out(&harness), ("Failing".to_owned(), "refused".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_corrected_trace_buffer_restarts_an_owner_that_its_mistake_has_stuck() {
    let pod = injected_pod("a1", "a-1", "h1");
    let harness =
        Harness::with_leader(&[restarting("h1", Duration::ZERO)], std::slice::from_ref(&pod)).await;
    harness.cluster.set_workload("a", workload_status(None, Progressing));
    harness.cluster.put_trace_buffer(restarting("h2", Duration::ZERO));
    seconds(60).await;
    assert_eq!(harness.cluster.restarts(), [], "its own rollout is in progress");
    let (reason, message) = rolled_out(&harness);
    assert_eq!(reason, "Waiting");
    assert!(message.contains("Deployment shop/a (a rollout of its own"), "{message}");

    harness.cluster.set_sidecar_failure(&pod, Some(image_pull_failure()));
    seconds(60).await;

    assert_eq!(harness.cluster.restarts(), [("a".to_owned(), "h2-100".to_owned())]);
    assert_eq!(rolled_out(&harness).0, "Restarting");
    harness.cluster.delete_pod("a1");
    harness.cluster.put_pod(injected_pod("a2", "a-2", "h2"));
    harness.cluster.set_workload("a", workload_status(Some("h2-100"), Complete));
    seconds(60).await;
    assert_eq!(rolled_out(&harness).0, "Complete");
}

#[tokio::test(start_paused = true)]
async fn a_paused_owner_is_named_in_the_status() {
    let pod = injected_pod("a1", "a-1", "h1");
    let harness = Harness::with_leader(&[restarting("h1", Duration::ZERO)], &[pod]).await;
    let mut paused = workload_status(None, Complete);
    paused.restart_blocker = Some("it is paused");
    harness.cluster.set_workload("a", paused);

    harness.cluster.put_trace_buffer(restarting("h2", Duration::ZERO));
    seconds(60).await;

    let (reason, message) = rolled_out(&harness);
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("Waiting", "cannot be restarted now: Deployment shop/a (it is paused)")
    );
}

#[tokio::test(start_paused = true)]
async fn no_trace_buffer_is_ready_while_the_webhook_is_not_called() {
    let harness = Harness::with_leader(&[snapshot()], &[]).await;
    let ready = || {
        let status = harness.cluster.status(&key("shop", "traces")).unwrap();
        status.conditions.into_iter().find(|one| one.type_ == "Ready").unwrap().reason
    };
    assert_eq!(ready(), "Injecting");

    harness.cluster.set_webhook_problem(Some("no endpoint"));
    seconds(5).await;
    assert_eq!(ready(), "WebhookUnavailable");
    assert_eq!(harness.cluster.webhook_problem().as_deref(), Some("no endpoint"));

    harness.cluster.set_webhook_problem(None);
    seconds(5).await;
    assert_eq!(ready(), "Injecting");
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_an_ended_sidecar_is_one_event_on_the_owner_even_if_the_pod_is_gone() {
    let pods = [injected_pod("a", "web-1", "h1"), injected_pod("b", "web-1", "h1")];
    let harness = Harness::with_leader(&[snapshot()], &pods).await;
    let _ = harness.cluster.events();
    let mut ledger = FinalLedger::of_delivered(1);
    ledger.add_lost(LossReason::Rejected, 2);

    harness.cluster.delete_pod("a");
    harness.cluster.queue.spans_lost(&pods[0], &ledger);
    harness.cluster.queue.spans_lost(&pods[1], &ledger);
    seconds(60).await;

    assert_eq!(harness.cluster.events(), [("web".to_owned(), "SpansLost", "uid-web-1".to_owned())]);
}
