//! Leader election: keeps a candidate in the race, and tells who may write.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::domain::operator::lease::{Election, ElectionAction, LeaseTimes, StoredLease};
use crate::ports::clock::Clock;
use crate::ports::operator::lease::{LeaseError, LeaseStore};

/// The longest a request may take: short enough for several before a leader must stop.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the lease is tried to be given back.
const RESIGN_ATTEMPTS: u32 = 3;

/// Whether this candidate leads, by its own clock: it ends in time even if nobody gets to say so.
#[derive(Debug)]
pub struct Leadership<C> {
    leads_until: watch::Receiver<Option<Duration>>,
    clock: Arc<C>,
}

impl<C> Clone for Leadership<C> {
    fn clone(&self) -> Self {
        Self { leads_until: self.leads_until.clone(), clock: Arc::clone(&self.clock) }
    }
}

impl<C: Clock> Leadership<C> {
    /// Returns whether it leads now. A leader asks right before it writes, and gives each write a
    /// resource version to replace: what it decided on must not have changed since.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.remaining().is_some()
    }

    /// Ends when it leads.
    pub async fn gained(&mut self) {
        while !self.is_leader() {
            self.wait_for_change().await;
        }
    }

    /// Ends when it does not lead.
    pub async fn lost(&mut self) {
        while let Some(left) = self.remaining() {
            tokio::select! {
                () = sleep(left) => {}
                () = self.wait_for_change() => {}
            }
        }
    }

    /// How long it leads yet.
    fn remaining(&self) -> Option<Duration> {
        let left = (*self.leads_until.borrow())?.saturating_sub(self.clock.now());
        Some(left).filter(|left| !left.is_zero())
    }

    async fn wait_for_change(&mut self) {
        if self.leads_until.changed().await.is_err() {
            // The candidate is gone, and with it the leadership once its time is over.
            std::future::pending::<()>().await;
        }
    }
}

/// A candidate.
pub struct LeaderElector<S, C> {
    store: Arc<S>,
    clock: Arc<C>,
    identity: String,
    times: LeaseTimes,
    random: fn() -> u64,
    leads_until: watch::Sender<Option<Duration>>,
    is_leading: watch::Sender<bool>,
}

impl<S: LeaseStore, C: Clock> LeaderElector<S, C> {
    /// One that does not run yet; `identity` must be no other's, not even of an earlier run of the
    /// same process.
    #[must_use]
    pub fn new(
        store: Arc<S>,
        clock: Arc<C>,
        identity: String,
        times: LeaseTimes,
        random: fn() -> u64,
    ) -> Self {
        let (until, is_leading) = (watch::Sender::new(None), watch::Sender::new(false));
        Self { store, clock, identity, times, random, leads_until: until, is_leading }
    }

    /// Returns a view of whether it leads.
    #[must_use]
    pub fn leadership(&self) -> Leadership<C> {
        Leadership { leads_until: self.leads_until.subscribe(), clock: Arc::clone(&self.clock) }
    }

    /// Returns whether it leads, as it changes: for what runs only while it leads.
    #[must_use]
    pub fn is_leading(&self) -> watch::Receiver<bool> {
        self.is_leading.subscribe()
    }

    /// Runs for the lease until `stop` ends, then gives it back, so that the next can lead at once.
    ///
    /// What leads must have stopped writing when `stop` ends.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut election = Election::new(self.identity.clone(), self.times);
        tokio::select! {
            () = stop => {}
            () = self.run_election(&mut election) => {}
            () = self.watch_transitions() => {}
        }
        self.resign(election).await;
    }

    async fn run_election(&self, election: &mut Election) {
        loop {
            let step = election.next_action(self.clock.now(), (self.random)());
            match step {
                ElectionAction::Wait(until) => sleep(until.saturating_sub(self.clock.now())).await,
                ElectionAction::Read => match self.read().await {
                    Ok(lease) => election.on_read(lease, self.clock.now()),
                    Err(error) => self.handle_error(election, &error),
                },
                ElectionAction::Write { .. } => self.write(election, step).await,
            }
            self.publish_deadline(election);
        }
    }

    async fn read(&self) -> Result<Option<StoredLease>, LeaseError> {
        timeout(REQUEST_TIMEOUT, self.store.read()).await.unwrap_or_else(|_| Err(timeout_error()))
    }

    async fn write(&self, election: &mut Election, step: ElectionAction) {
        let sent = self.clock.now();
        match self.send(&step).await {
            Ok(lease) => election.on_written(lease, sent, self.clock.now(), (self.random)()),
            Err(error) => self.handle_error(election, &error),
        }
    }

    async fn send(&self, step: &ElectionAction) -> Result<StoredLease, LeaseError> {
        let ElectionAction::Write { update: claim, expected_version: over } = step else {
            return Err(timeout_error());
        };
        let write = self.store.write(claim, over.as_deref());
        timeout(REQUEST_TIMEOUT, write).await.unwrap_or_else(|_| Err(timeout_error()))
    }

    fn handle_error(&self, election: &mut Election, error: &LeaseError) {
        let (now, random) = (self.clock.now(), (self.random)());
        let lease = self.store.name();
        match error {
            LeaseError::Conflict => election.on_conflict(now, random),
            LeaseError::Failed(why) => {
                if election.is_leader(now) {
                    warn!(lease, "cannot renew the leader's lease, retrying: {why}");
                } else {
                    debug!(lease, "cannot reach the leader's lease, retrying: {why}");
                }
                election.on_failure(now, random);
            }
        }
    }

    fn publish_deadline(&self, election: &Election) {
        let until = election.leads_until();
        self.leads_until.send_if_modified(|known| std::mem::replace(known, until) != until);
    }

    /// Tells the two states apart from renewals.
    async fn watch_transitions(&self) {
        let mut leadership = self.leadership();
        let lease = self.store.name();
        loop {
            leadership.gained().await;
            info!(lease, identity = self.identity, "leading");
            self.is_leading.send_replace(true);
            leadership.lost().await;
            warn!(lease, identity = self.identity, "leading no more");
            self.is_leading.send_replace(false);
        }
    }

    async fn resign(&self, mut election: Election) {
        self.leads_until.send_replace(None);
        self.is_leading.send_replace(false);
        for _ in 0..RESIGN_ATTEMPTS {
            let Ok(lease) = self.read().await else { continue };
            let Some(step) = election.resign(lease.as_ref()) else { return };
            if self.send(&step).await.is_ok() {
                info!(
                    lease = self.store.name(),
                    identity = self.identity,
                    "gave the leader's lease back"
                );
                return;
            }
        }
        warn!(
            lease = self.store.name(),
            "cannot give the leader's lease back; the next one leads after {:?}",
            self.times.duration
        );
    }
}

fn timeout_error() -> LeaseError {
    LeaseError::Failed(format!("no answer within {REQUEST_TIMEOUT:?}"))
}
