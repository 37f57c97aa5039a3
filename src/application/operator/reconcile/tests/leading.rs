use crate::application::operator::reconcile::fakes::{
    FakeCluster, Harness, RecordedWrite, injected_pod, key, missing_pod, seconds, snapshot,
};
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::reconcile::trace_buffer_snapshot::TraceBufferSnapshot;
use std::collections::BTreeMap;
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_this_replica_leads() {
    let harness = Harness::new();
    harness.cluster.put_trace_buffer(snapshot());
    seconds(600).await;
    assert_eq!(harness.cluster.writes(), []);

    harness.lead().await;

    assert!(matches!(harness.cluster.writes().as_slice(), [RecordedWrite::Status(..)]));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_another_leads_and_everything_after_leadership_is_regained() {
    let harness = Harness::with_leader(&[snapshot()], &[]).await;
    harness.cluster.writes();

    harness.leading.send(false).unwrap();
    seconds(1).await;
    harness.cluster.put_pod(injected_pod("a", "web-1", "h1"));
    harness
        .cluster
        .put_trace_buffer(TraceBufferSnapshot { key: key("shop", "other"), ..snapshot() });
    seconds(600).await;
    assert_eq!(harness.cluster.writes(), []);

    harness.lead().await;

    let writes = harness.cluster.writes();
    let statuses = writes.iter().filter(|write| matches!(write, RecordedWrite::Status(..))).count();
    assert_eq!(statuses, 2, "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_the_caches_are_synced() {
    let harness = Harness::new();
    harness.cluster.set_synced(false);
    harness.cluster.put_pod(injected_pod("a", "web-1", "h1"));
    harness.lead().await;
    seconds(60).await;
    assert_eq!(harness.cluster.writes(), []);

    harness.cluster.put_trace_buffer(snapshot());
    harness.cluster.set_synced(true);
    seconds(10).await;

    assert!(matches!(harness.cluster.writes().as_slice(), [RecordedWrite::Status(..)]));
}

/// Puts pods whose annotations each name another `TraceBuffer`, as a tenant may.
fn put_pods_with_many_names(cluster: &FakeCluster) {
    for number in 0..1000 {
        let inject = Some(format!("shop/n{number}"));
        cluster.put_pod(PodSnapshot { inject, ..missing_pod("a", "web-1") });
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_lead_queues_no_work() {
    let harness = Harness::new();
    put_pods_with_many_names(&harness.cluster);
    assert_eq!(harness.cluster.queue.len(), 0, "before it leads");

    harness.lead().await;
    harness.leading.send(false).unwrap();
    seconds(1).await;
    assert_eq!(harness.cluster.queue.len(), 0, "after it led");

    put_pods_with_many_names(&harness.cluster);
    assert_eq!(harness.cluster.queue.len(), 0, "while another leads");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_not_synced_queues_no_work() {
    let harness = Harness::new();
    harness.cluster.set_synced(false);
    harness.lead().await;

    put_pods_with_many_names(&harness.cluster);
    seconds(60).await;

    assert!(harness.cluster.queue.len() <= 2, "{}", harness.cluster.queue.len());
}

#[tokio::test(start_paused = true)]
async fn a_change_while_the_leader_is_not_synced_is_handled_afterwards() {
    let harness = Harness::with_leader(&[], &[]).await;
    harness.cluster.set_synced(false);
    harness.cluster.put_trace_buffer(snapshot());
    seconds(10).await;
    assert_eq!(harness.cluster.writes(), []);

    harness.cluster.set_synced(true);
    seconds(5).await;

    assert!(matches!(harness.cluster.writes().as_slice(), [RecordedWrite::Status(..)]));
}

#[tokio::test(start_paused = true)]
async fn the_counts_of_a_former_leader_are_cleared() {
    let pods = [injected_pod("a", "web-1", "h1"), missing_pod("b", "api-1")];
    let harness = Harness::with_leader(&[snapshot()], &pods).await;
    assert!(harness.cluster.counts(&key("shop", "traces")).is_some());
    assert!(!harness.cluster.missing_pods_by_reason().is_empty());

    harness.leading.send(false).unwrap();
    seconds(1).await;

    assert_eq!(harness.cluster.counts(&key("shop", "traces")), None);
    assert!(harness.cluster.missing_pods_by_reason().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_trace_buffer_deleted_while_another_led_is_not_counted_by_the_next_session() {
    let pods = [injected_pod("a", "web-1", "h1")];
    let harness = Harness::with_leader(&[snapshot()], &pods).await;

    harness.leading.send(false).unwrap();
    seconds(1).await;
    harness.cluster.delete_trace_buffer(&key("shop", "traces"));
    harness.cluster.delete_pod("a");
    harness.lead().await;

    assert_eq!(harness.cluster.counts(&key("shop", "traces")), None);
}

#[tokio::test(start_paused = true)]
async fn counts_are_forgotten_when_the_reconciler_is_stopped_while_it_leads() {
    let pods = [injected_pod("a", "web-1", "h1"), missing_pod("b", "api-1")];
    let harness = Harness::with_leader(&[snapshot()], &pods).await;
    let cluster = Arc::clone(&harness.cluster);
    assert!(cluster.counts(&key("shop", "traces")).is_some());

    drop(harness);
    seconds(1).await;
    put_pods_with_many_names(&cluster);

    assert_eq!(cluster.counts(&key("shop", "traces")), None);
    assert_eq!(cluster.missing_pods_by_reason(), BTreeMap::new());
    assert_eq!(cluster.queue.len(), 0);
}
