use std::time::Duration;

use tokio::time::sleep;

use crate::application::reconcile::fakes::{Stage, Write, declared, injected, key};
use crate::domain::operating::declared::Declared;

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_this_replica_leads() {
    let stage = Stage::new();
    stage.cluster.declare(declared());
    seconds(600).await;
    assert_eq!(stage.cluster.writes(), []);

    stage.lead().await;

    assert!(matches!(stage.cluster.writes().as_slice(), [Write::Status(..)]));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_after_another_leads_and_all_of_it_when_it_leads_again() {
    let stage = Stage::led(&[declared()], &[]).await;
    stage.cluster.writes();

    stage.leading.send(false).unwrap();
    seconds(1).await;
    stage.cluster.put(injected("a", "web-1", "h1"));
    stage.cluster.declare(Declared { key: key("shop", "other"), ..declared() });
    seconds(600).await;
    assert_eq!(stage.cluster.writes(), []);

    stage.lead().await;

    let writes = stage.cluster.writes();
    let statuses = writes.iter().filter(|write| matches!(write, Write::Status(..))).count();
    assert_eq!(statuses, 2, "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_concluded_before_everything_was_seen() {
    let stage = Stage::new();
    stage.cluster.set_synced(false);
    stage.cluster.put(injected("a", "web-1", "h1"));
    stage.lead().await;
    seconds(60).await;
    assert_eq!(stage.cluster.writes(), []);

    stage.cluster.declare(declared());
    stage.cluster.set_synced(true);
    seconds(10).await;

    assert!(matches!(stage.cluster.writes().as_slice(), [Write::Status(..)]));
}
