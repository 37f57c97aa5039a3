//! Keeps every `TraceBuffer`'s status true and its pods' limits up to date, restarts what a change
//! needs restarted, and tells owners what became of their pods.
//!
//! Each look at a `TraceBuffer` has five steps, dereference → validate → build → apply → update
//! status; the middle ones know no cluster.

mod audit;
mod limits;
pub mod queue;
mod rollout;
mod trace_buffer;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::domain::operator::injection::facts::ClusterFacts;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::sidecar_state::trace_buffer_of_pod;
use crate::ports::operator::cluster::{Cluster, ClusterError};
use crate::ports::operator::pods::PodLister;
use crate::ports::operator::reconcile::{ReconcileMonitor, ReconcileOutcome};
use audit::EventDedup;
use limits::LimitsFailures;
use queue::{ReconcileAction, WorkItem, WorkQueue};
use rollout::RolloutState;
use trace_buffer::{CachedReferences, Deletion};

/// How many things are looked at at a time.
const WORKERS: usize = 4;
/// How often everything is looked at, changed or not.
const RESYNC_INTERVAL: Duration = Duration::from_mins(5);
/// How often is asked whether everything was seen once.
const SYNC_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// What reconciling is connected to.
pub struct ReconcileContext<C, P> {
    /// The cluster.
    pub cluster: Arc<C>,
    /// Its pods.
    pub pods: Arc<P>,
    /// Where changes arrive.
    pub queue: Arc<WorkQueue>,
    /// Who watches.
    pub monitor: Arc<dyn ReconcileMonitor>,
    /// What the injection decision knows of the cluster.
    pub facts: ClusterFacts,
    /// Gives a fresh random number at each call.
    pub random: fn() -> u64,
}

/// The use case.
pub struct Reconciler<C, P> {
    context: Arc<ReconcileContext<C, P>>,
}

/// What is remembered while this replica leads.
struct LeaderSession<C, P> {
    context: Arc<ReconcileContext<C, P>>,
    started: Instant,
    trace_buffers: Mutex<HashMap<ObjectKey, TraceBufferSession>>,
    rollouts: Mutex<HashMap<ObjectKey, RolloutState>>,
    limits_failures: Mutex<HashMap<ObjectKey, LimitsFailures>>,
    event_dedup: Mutex<EventDedup>,
}

/// What is remembered of one `TraceBuffer`.
#[derive(Default)]
struct TraceBufferSession {
    references: Option<CachedReferences>,
    deletion: Option<Deletion>,
}

impl<C: Cluster, P: PodLister> Reconciler<C, P> {
    /// Creates the use case.
    #[must_use]
    pub fn new(parts: ReconcileContext<C, P>) -> Self {
        Self { context: Arc::new(parts) }
    }

    /// Reconciles whenever `leading` is true, until nobody can tell any more.
    ///
    /// When it ceases to be true, all that is under way is broken off at its next wait.
    pub async fn run(&self, mut leading: watch::Receiver<bool>) {
        while leading.wait_for(|leads| *leads).await.is_ok() {
            info!("reconciling");
            let term = Arc::new(LeaderSession::new(Arc::clone(&self.context)));
            self.context.queue.open();
            self.context.queue.schedule(WorkItem::Resync, Duration::ZERO);
            let mut workers = JoinSet::new();
            for _ in 0..WORKERS {
                workers.spawn(run_worker(Arc::clone(&term)));
            }
            let _ = leading.wait_for(|leads| !leads).await;
            workers.shutdown().await;
            self.context.queue.close();
            self.context.monitor.leadership_lost();
            info!("no longer reconciling");
        }
    }
}

/// Looks at one thing after another, for ever.
async fn run_worker<C: Cluster, P: PodLister>(term: Arc<LeaderSession<C, P>>) {
    loop {
        let item = term.context.queue.next().await;
        let next = term.reconcile(&item).await;
        term.context.queue.done(item, next, (term.context.random)());
    }
}

impl<C: Cluster, P: PodLister> LeaderSession<C, P> {
    fn new(parts: Arc<ReconcileContext<C, P>>) -> Self {
        Self {
            context: parts,
            started: Instant::now(),
            trace_buffers: Mutex::default(),
            rollouts: Mutex::default(),
            limits_failures: Mutex::default(),
            event_dedup: Mutex::default(),
        }
    }

    async fn reconcile(&self, item: &WorkItem) -> ReconcileAction {
        if !self.context.cluster.is_synced() {
            return self.await_sync(item);
        }
        let started = Instant::now();
        let result = match item {
            WorkItem::TraceBuffer(key) => self.reconcile_trace_buffer(key).await,
            WorkItem::Rollout(key) => self.reconcile_rollout(key).await,
            WorkItem::Namespace(namespace) => Ok(self.reconcile_namespace(namespace)),
            WorkItem::Audit => self.audit().await,
            WorkItem::Resync => Ok(self.resync()),
        };
        let outcome = match &result {
            Ok(_) => ReconcileOutcome::Done,
            Err(ClusterError::Conflict | ClusterError::NotFound) => {
                debug!(?item, "somebody else wrote in the meantime");
                ReconcileOutcome::Conflict
            }
            Err(ClusterError::Failed(why)) => {
                warn!(?item, why, "cannot reconcile; trying again");
                ReconcileOutcome::Failed
            }
        };
        self.context.monitor.reconciled(outcome, started.elapsed());
        result.unwrap_or(ReconcileAction::Retry)
    }

    /// Replaces `item` by a resync, which covers every item, and retries that one until the caches
    /// are synced. Keeping each item would let the queue grow for as long as they are not.
    fn await_sync(&self, item: &WorkItem) -> ReconcileAction {
        if *item == WorkItem::Resync {
            return ReconcileAction::RequeueAfter(SYNC_POLL_INTERVAL);
        }
        self.context.queue.schedule(WorkItem::Resync, SYNC_POLL_INTERVAL);
        ReconcileAction::AwaitChange
    }

    /// Looks at every `TraceBuffer` that a change of the namespace, or of a `TraceBuffer` in it, may
    /// concern.
    fn reconcile_namespace(&self, name: &str) -> ReconcileAction {
        let ReconcileContext { cluster, pods, facts, queue, .. } = &*self.context;
        let namespace = pods.namespace(name);
        let names = cluster.names_in(name);
        let here =
            |name: &String| ObjectKey { namespace: namespace.name.clone(), name: name.clone() };
        let mut keys: BTreeSet<_> = names.iter().map(here).collect();
        keys.extend(namespace.named_trace_buffer().ok().flatten());
        keys.extend(facts.default_trace_buffer.clone());
        let pods = pods.in_namespace(name);
        keys.extend(
            pods.iter()
                .filter_map(|pod| trace_buffer_of_pod(pod, &namespace, facts, || names.clone())),
        );
        for key in keys {
            queue.schedule(WorkItem::TraceBuffer(key), Duration::ZERO);
        }
        ReconcileAction::AwaitChange
    }

    fn resync(&self) -> ReconcileAction {
        let known = self.trace_buffers.lock().keys().cloned().collect::<Vec<_>>();
        for key in self.context.cluster.trace_buffer_keys().into_iter().chain(known) {
            self.context.queue.schedule(WorkItem::TraceBuffer(key), Duration::ZERO);
        }
        self.context.queue.schedule(WorkItem::Audit, Duration::ZERO);
        ReconcileAction::RequeueAfter(RESYNC_INTERVAL)
    }

    /// Time since this replica leads.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod tests;
