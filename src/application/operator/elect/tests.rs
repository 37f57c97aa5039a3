//! The log of an elector whose store fails.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::*;
use crate::application::testing::{CapturedLog, FakeClock};
use crate::domain::operator::lease::LeaseUpdate;

const MINUTE: Duration = Duration::from_mins(1);

/// A lease without a holder, with errors on demand.
#[derive(Default)]
struct FakeLeaseStore {
    read_error: Mutex<Option<&'static str>>,
    write_error: Mutex<Option<&'static str>>,
    versions: Mutex<VecDeque<String>>,
}

impl LeaseStore for FakeLeaseStore {
    fn name(&self) -> &'static str {
        "tracebuffer"
    }

    async fn read(&self) -> Result<Option<StoredLease>, LeaseError> {
        match *self.read_error.lock() {
            Some(error) => Err(LeaseError::Failed(error.to_owned())),
            None => Ok(None),
        }
    }

    async fn watch(&self, _notify: impl Fn(Option<StoredLease>) + Send + Sync) {
        std::future::pending::<()>().await;
    }

    async fn write(
        &self,
        update: &LeaseUpdate,
        _expected_version: Option<&str>,
    ) -> Result<StoredLease, LeaseError> {
        if let Some(error) = *self.write_error.lock() {
            return Err(LeaseError::Failed(error.to_owned()));
        }
        let mut versions = self.versions.lock();
        let version = format!("v{}", versions.len());
        versions.push_back(version.clone());
        Ok(StoredLease {
            holder: update.holder.clone(),
            duration: update.duration,
            transitions: update.transitions,
            renew_time: version.clone(),
            version,
        })
    }
}

fn start(store: &Arc<FakeLeaseStore>) {
    let elector = LeaderElector::new(
        Arc::clone(store),
        Arc::new(FakeClock::new()),
        "me".to_owned(),
        ElectionTimings::default(),
        || 7_777_777,
    );
    tokio::spawn(async move { elector.run(std::future::pending()).await });
}

fn warnings(log: &CapturedLog, text: &str) -> usize {
    log.lines().iter().filter(|line| line.starts_with("WARN") && line.contains(text)).count()
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_lease_is_logged_once_as_a_warning_until_it_recovers() {
    let (log, _guard) = CapturedLog::start();
    let store = Arc::<FakeLeaseStore>::default();
    *store.read_error.lock() = Some("not allowed to use the Lease");
    *store.write_error.lock() = Some("no way");
    start(&store);
    sleep(MINUTE).await;
    assert_eq!(warnings(&log, "not allowed to use the Lease"), 1, "{:?}", log.lines());

    *store.read_error.lock() = None;
    sleep(MINUTE).await;
    *store.read_error.lock() = Some("not allowed to use the Lease");
    sleep(MINUTE).await;

    assert_eq!(warnings(&log, "not allowed to use the Lease"), 2, "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn an_unwritable_lease_is_logged_once_as_a_warning() {
    let (log, _guard) = CapturedLog::start();
    let store = Arc::<FakeLeaseStore>::default();
    *store.write_error.lock() = Some("namespace ops not found");
    start(&store);

    sleep(MINUTE).await;

    assert_eq!(warnings(&log, "namespace ops not found"), 1, "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_logs_it_once_and_then_that_it_lost_leadership() {
    let (log, _guard) = CapturedLog::start();
    let store = Arc::<FakeLeaseStore>::default();
    start(&store);
    sleep(MINUTE).await;
    *store.write_error.lock() = Some("too many requests");

    sleep(MINUTE).await;

    assert_eq!(warnings(&log, "too many requests"), 1, "{:?}", log.lines());
    assert_eq!(warnings(&log, "lost leadership"), 1, "{:?}", log.lines());
}
