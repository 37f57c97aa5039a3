//! Leader election: keeps a candidate in the race, and tells who may write.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::domain::lease::{Election, LeaseTimes, Step, StoredLease};
use crate::ports::clock::Clock;
use crate::ports::lease::{LeaseError, LeaseStore};

/// The longest a request may take: short enough for several before a leader must stop.
const MAX_REQUEST: Duration = Duration::from_secs(3);
/// How often the lease is tried to be given back.
const RESIGN_TRIES: u32 = 3;

/// Whether this candidate leads, by its own clock: it ends in time even if nobody gets to say so.
#[derive(Debug)]
pub struct Leadership<C> {
    until: watch::Receiver<Option<Duration>>,
    clock: Arc<C>,
}

impl<C> Clone for Leadership<C> {
    fn clone(&self) -> Self {
        Self { until: self.until.clone(), clock: Arc::clone(&self.clock) }
    }
}

impl<C: Clock> Leadership<C> {
    /// Returns whether it leads now. A leader asks right before it writes, and gives each write a
    /// resource version to replace: what it decided on must not have changed since.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.left().is_some()
    }

    /// Ends when it leads.
    pub async fn gained(&mut self) {
        while !self.leads() {
            self.change().await;
        }
    }

    /// Ends when it does not lead.
    pub async fn lost(&mut self) {
        while let Some(left) = self.left() {
            tokio::select! {
                () = sleep(left) => {}
                () = self.change() => {}
            }
        }
    }

    /// How long it leads yet.
    fn left(&self) -> Option<Duration> {
        let left = (*self.until.borrow())?.saturating_sub(self.clock.now());
        Some(left).filter(|left| !left.is_zero())
    }

    async fn change(&mut self) {
        if self.until.changed().await.is_err() {
            // The candidate is gone, and with it the leadership once its time is over.
            std::future::pending::<()>().await;
        }
    }
}

/// A candidate.
pub struct Candidate<S, C> {
    store: Arc<S>,
    clock: Arc<C>,
    identity: String,
    times: LeaseTimes,
    random: fn() -> u64,
    until: watch::Sender<Option<Duration>>,
    is_leading: watch::Sender<bool>,
}

impl<S: LeaseStore, C: Clock> Candidate<S, C> {
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
        Self { store, clock, identity, times, random, until, is_leading }
    }

    /// Returns a view of whether it leads.
    #[must_use]
    pub fn leadership(&self) -> Leadership<C> {
        Leadership { until: self.until.subscribe(), clock: Arc::clone(&self.clock) }
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
            () = self.elect(&mut election) => {}
            () = self.announce() => {}
        }
        self.resign(election).await;
    }

    async fn elect(&self, election: &mut Election) {
        loop {
            let step = election.step(self.clock.now(), (self.random)());
            match step {
                Step::Wait(until) => sleep(until.saturating_sub(self.clock.now())).await,
                Step::Read => match self.read().await {
                    Ok(lease) => election.found(lease, self.clock.now()),
                    Err(error) => self.note_error(election, &error),
                },
                Step::Write { .. } => self.write(election, step).await,
            }
            self.publish(election);
        }
    }

    async fn read(&self) -> Result<Option<StoredLease>, LeaseError> {
        timeout(MAX_REQUEST, self.store.read()).await.unwrap_or_else(|_| Err(silence()))
    }

    async fn write(&self, election: &mut Election, step: Step) {
        let sent = self.clock.now();
        match self.send(&step).await {
            Ok(lease) => election.written(lease, sent, self.clock.now(), (self.random)()),
            Err(error) => self.note_error(election, &error),
        }
    }

    async fn send(&self, step: &Step) -> Result<StoredLease, LeaseError> {
        let Step::Write { claim, over } = step else { return Err(silence()) };
        let write = self.store.write(claim, over.as_deref());
        timeout(MAX_REQUEST, write).await.unwrap_or_else(|_| Err(silence()))
    }

    fn note_error(&self, election: &mut Election, error: &LeaseError) {
        let (now, random) = (self.clock.now(), (self.random)());
        let lease = self.store.name();
        match error {
            LeaseError::Conflict => election.conflicted(now, random),
            LeaseError::Failed(why) => {
                if election.leads(now) {
                    warn!(lease, "cannot renew the leader's lease, retrying: {why}");
                } else {
                    debug!(lease, "cannot reach the leader's lease, retrying: {why}");
                }
                election.failed(now, random);
            }
        }
    }

    fn publish(&self, election: &Election) {
        let until = election.leads_until();
        self.until.send_if_modified(|known| std::mem::replace(known, until) != until);
    }

    /// Tells the two states apart from renewals.
    async fn announce(&self) {
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
        self.until.send_replace(None);
        self.is_leading.send_replace(false);
        for _ in 0..RESIGN_TRIES {
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

fn silence() -> LeaseError {
    LeaseError::Failed(format!("no answer within {MAX_REQUEST:?}"))
}
