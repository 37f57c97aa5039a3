//! Leader election: acquires and renews the lease, and reports whether this replica leads.
//!
//! Losing the lease stops the leader's tasks; nothing asks before each write whether this replica still
//! leads. A write already in flight is guarded by the resource version, or by the values, it replaces.
//!
//! A replica that does not lead watches the lease: it sees every renewal without a request, and at once
//! when the lease is released.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::domain::operator::lease::{
    Election, ElectionAction, ElectionTimings, LeaseUpdate, StoredLease,
};
use crate::ports::clock::MonotonicClock;
use crate::ports::operator::lease::{LeaseError, LeaseStore};

/// The longest wait for one response: short enough for several requests before a leader must stop.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// How often releasing the lease is attempted.
const RESIGN_ATTEMPTS: u32 = 3;

/// Whether this elector leads, by its own clock: leadership ends in time even while a request hangs.
struct Leadership<'a, C> {
    leads_until: watch::Receiver<Option<Duration>>,
    clock: &'a C,
}

impl<C: MonotonicClock> Leadership<'_, C> {
    /// Waits until this elector leads.
    async fn gained(&mut self) {
        while self.remaining().is_none() {
            self.wait_for_change().await;
        }
    }

    /// Waits until this elector no longer leads.
    async fn lost(&mut self) {
        while let Some(left) = self.remaining() {
            tokio::select! {
                () = sleep(left) => {}
                () = self.wait_for_change() => {}
            }
        }
    }

    /// Returns for how long it still leads unless it renews the lease.
    fn remaining(&self) -> Option<Duration> {
        let left = (*self.leads_until.borrow())?.saturating_sub(self.clock.now());
        Some(left).filter(|left| !left.is_zero())
    }

    async fn wait_for_change(&mut self) {
        if self.leads_until.changed().await.is_err() {
            // The elector is gone; its leadership ends with its time.
            std::future::pending::<()>().await;
        }
    }
}

/// One replica in the election.
pub struct LeaderElector<S, C> {
    store: Arc<S>,
    clock: Arc<C>,
    identity: String,
    times: ElectionTimings,
    random: fn() -> u64,
    leads_until: watch::Sender<Option<Duration>>,
    is_leading: watch::Sender<bool>,
    /// The state of the lease as last notified, by the watch of a replica that does not lead.
    notified: watch::Sender<Option<StoredLease>>,
}

/// The failures that were logged last: each is a warning once, until a request of its kind succeeds.
#[derive(Default)]
struct LoggedFailures {
    read: Option<String>,
    write: Option<String>,
}

impl<S: LeaseStore, C: MonotonicClock> LeaderElector<S, C> {
    /// Creates an elector. `identity` must be unique, even among earlier runs of the same process;
    /// `random` returns a new random number at each call.
    #[must_use]
    pub fn new(
        store: Arc<S>,
        clock: Arc<C>,
        identity: String,
        times: ElectionTimings,
        random: fn() -> u64,
    ) -> Self {
        let (leads_until, is_leading) = (watch::Sender::new(None), watch::Sender::new(false));
        let notified = watch::Sender::new(None);
        Self { store, clock, identity, times, random, leads_until, is_leading, notified }
    }

    /// Returns whether this replica leads, as it changes.
    #[must_use]
    pub fn is_leading(&self) -> watch::Receiver<bool> {
        self.is_leading.subscribe()
    }

    /// Takes part in the election until `stop` ends, then releases the lease, so that another replica
    /// can lead at once.
    ///
    /// The leader's writers must have stopped when `stop` ends.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut election = Election::new(self.identity.clone(), self.times);
        tokio::select! {
            () = stop => {}
            () = self.run_election(&mut election) => {}
            () = self.watch_transitions() => {}
            () = self.watch_others() => {}
        }
        self.resign(election).await;
    }

    async fn run_election(&self, election: &mut Election) {
        let mut logged = LoggedFailures::default();
        let mut notified = self.notified.subscribe();
        loop {
            match election.next_action(self.clock.now(), (self.random)()) {
                ElectionAction::Wait(until) => tokio::select! {
                    () = sleep(until.saturating_sub(self.clock.now())) => {}
                    Ok(()) = notified.changed() => {
                        let lease = notified.borrow_and_update();
                        election.on_notified(lease.as_ref(), self.clock.now());
                    }
                },
                ElectionAction::Read => match self.read().await {
                    Ok(lease) => {
                        logged.read = None;
                        election.on_read(lease, self.clock.now());
                    }
                    Err(error) => self.handle_error(election, error, &mut logged.read),
                },
                ElectionAction::Write { update, expected_version } => {
                    let sent = self.clock.now();
                    match self.write(&update, expected_version.as_deref()).await {
                        Ok(lease) => {
                            logged.write = None;
                            election.on_written(lease, sent, self.clock.now());
                        }
                        Err(error) => self.handle_error(election, error, &mut logged.write),
                    }
                }
            }
            self.publish_deadline(election);
        }
    }

    async fn read(&self) -> Result<Option<StoredLease>, LeaseError> {
        timeout(REQUEST_TIMEOUT, self.store.read()).await.unwrap_or_else(|_| Err(timeout_error()))
    }

    async fn write(
        &self,
        update: &LeaseUpdate,
        expected_version: Option<&str>,
    ) -> Result<StoredLease, LeaseError> {
        let write = self.store.write(update, expected_version);
        timeout(REQUEST_TIMEOUT, write).await.unwrap_or_else(|_| Err(timeout_error()))
    }

    /// Logs a failure unless it is `logged`, the last one of its kind.
    fn handle_error(
        &self,
        election: &mut Election,
        error: LeaseError,
        logged: &mut Option<String>,
    ) {
        let (now, random) = (self.clock.now(), (self.random)());
        let lease = self.store.name();
        match error {
            LeaseError::Conflict => {
                debug!(lease, "the leader's lease was written by another; reading it again");
                election.on_conflict(now, random);
            }
            LeaseError::Failed(error) => {
                if logged.as_ref() == Some(&error) {
                    debug!(lease, error, "the leader's lease still cannot be used; retrying");
                } else {
                    warn!(lease, error, "cannot read or write the leader's lease; retrying");
                    *logged = Some(error);
                }
                election.on_failure(now, random);
            }
        }
    }

    fn publish_deadline(&self, election: &Election) {
        let until = election.leads_until();
        self.leads_until.send_if_modified(|last| std::mem::replace(last, until) != until);
    }

    /// Publishes when leadership begins and ends; renewals in between do not show.
    async fn watch_transitions(&self) {
        let mut leadership =
            Leadership { leads_until: self.leads_until.subscribe(), clock: &*self.clock };
        let lease = self.store.name();
        loop {
            leadership.gained().await;
            info!(lease, identity = self.identity, "leading");
            self.is_leading.send_replace(true);
            leadership.lost().await;
            warn!(lease, identity = self.identity, "lost leadership");
            self.is_leading.send_replace(false);
        }
    }

    /// Watches the lease whenever this replica does not lead.
    async fn watch_others(&self) {
        let mut is_leading = self.is_leading.subscribe();
        // The senders are this elector's.
        while is_leading.wait_for(|leads| !leads).await.is_ok() {
            tokio::select! {
                () = self.store.watch(|lease| drop(self.notified.send_replace(lease))) => {}
                _ = is_leading.wait_for(|leads| *leads) => {}
            }
        }
    }

    async fn resign(&self, mut election: Election) {
        self.leads_until.send_replace(None);
        self.is_leading.send_replace(false);
        for _ in 0..RESIGN_ATTEMPTS {
            let Ok(lease) = self.read().await else { continue };
            let Some((update, version)) = election.resign(lease) else { return };
            if self.write(&update, Some(&version)).await.is_ok() {
                info!(
                    lease = self.store.name(),
                    identity = self.identity,
                    "released the leader's lease"
                );
                return;
            }
        }
        warn!(
            lease = self.store.name(),
            "cannot release the leader's lease; another replica leads after {:?}",
            self.times.duration
        );
    }
}

fn timeout_error() -> LeaseError {
    LeaseError::Failed(format!("no answer within {REQUEST_TIMEOUT:?}"))
}

#[cfg(test)]
mod tests;
