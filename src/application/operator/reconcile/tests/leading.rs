use std::time::Duration;

use tokio::time::sleep;

use crate::application::operator::reconcile::fakes::{
    Harness, RecordedWrite, injected_pod, key, snapshot,
};
use crate::domain::operator::reconcile::trace_buffer_snapshot::TraceBufferSnapshot;

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_this_replica_leads() {
    let stage = Harness::new();
    stage.cluster.put_trace_buffer(snapshot());
    seconds(600).await;
    assert_eq!(stage.cluster.writes(), []);

    stage.lead().await;

    assert!(matches!(stage.cluster.writes().as_slice(), [RecordedWrite::Status(..)]));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_after_another_leads_and_all_of_it_when_it_leads_again() {
    let stage = Harness::with_leader(&[snapshot()], &[]).await;
    stage.cluster.writes();

    stage.leading.send(false).unwrap();
    seconds(1).await;
    stage.cluster.put_pod(injected_pod("a", "web-1", "h1"));
    stage.cluster.put_trace_buffer(TraceBufferSnapshot { key: key("shop", "other"), ..snapshot() });
    seconds(600).await;
    assert_eq!(stage.cluster.writes(), []);

    stage.lead().await;

    let writes = stage.cluster.writes();
    let statuses = writes.iter().filter(|write| matches!(write, RecordedWrite::Status(..))).count();
    assert_eq!(statuses, 2, "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_concluded_before_everything_was_seen() {
    let stage = Harness::new();
    stage.cluster.set_synced(false);
    stage.cluster.put_pod(injected_pod("a", "web-1", "h1"));
    stage.lead().await;
    seconds(60).await;
    assert_eq!(stage.cluster.writes(), []);

    stage.cluster.put_trace_buffer(snapshot());
    stage.cluster.set_synced(true);
    seconds(10).await;

    assert!(matches!(stage.cluster.writes().as_slice(), [RecordedWrite::Status(..)]));
}
