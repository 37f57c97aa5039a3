//! Keeps the status of every `TraceBuffer` and the limits of its pods up to date, restarts the
//! workloads that a change requires to restart, and publishes events about them.
//!
//! The reconciliation of a `TraceBuffer` has five steps: dereference → validate → build → apply →
//! update status. The middle ones do not access the cluster.

mod audit;
mod limits;
mod losses;
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

/// How many items are processed concurrently.
const WORKERS: usize = 4;
/// How often everything is reconciled, changed or not.
const RESYNC_INTERVAL: Duration = Duration::from_mins(5);
/// How often a leader checks whether the caches are synced.
const SYNC_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The dependencies of the reconciler.
pub struct ReconcileContext<C, P> {
    /// The cluster.
    pub cluster: Arc<C>,
    /// The pods of the cluster.
    pub pods: Arc<P>,
    /// The work queue, which receives changes.
    pub queue: Arc<WorkQueue>,
    /// Receives measurements.
    pub monitor: Arc<dyn ReconcileMonitor>,
    /// The cluster-wide settings of the injection decision.
    pub facts: ClusterFacts,
    /// Returns a fresh random number.
    pub random: fn() -> u64,
}

/// The use case: reconciles while this replica leads.
pub struct Reconciler<C, P> {
    context: Arc<ReconcileContext<C, P>>,
}

/// What is remembered for as long as this replica leads.
struct LeaderSession<C, P> {
    context: Arc<ReconcileContext<C, P>>,
    started: Instant,
    trace_buffers: Mutex<HashMap<ObjectKey, TraceBufferSession>>,
    rollouts: Mutex<HashMap<ObjectKey, RolloutState>>,
    limits_failures: Mutex<HashMap<ObjectKey, LimitsFailures>>,
    event_dedup: Mutex<EventDedup>,
}

/// What is remembered about one `TraceBuffer`.
#[derive(Default)]
struct TraceBufferSession {
    references: Option<CachedReferences>,
    deletion: Option<Deletion>,
}

/// Accepts work until it is dropped, also when [`Reconciler::run`] is cancelled at shutdown: the queue and
/// the figures of this replica must not outlive its leadership.
struct Leadership<'a, C, P>(&'a ReconcileContext<C, P>);

impl<'a, C, P> Leadership<'a, C, P> {
    fn begin(context: &'a ReconcileContext<C, P>) -> Self {
        context.queue.open();
        context.queue.schedule(WorkItem::Resync, Duration::ZERO);
        Self(context)
    }
}

impl<C, P> Drop for Leadership<'_, C, P> {
    fn drop(&mut self) {
        self.0.queue.close();
        self.0.monitor.leadership_lost();
    }
}

impl<C: Cluster, P: PodLister> Reconciler<C, P> {
    /// Creates a reconciler.
    #[must_use]
    pub fn new(context: ReconcileContext<C, P>) -> Self {
        Self { context: Arc::new(context) }
    }

    /// Reconciles whenever `leading` is true, until its sender is dropped.
    ///
    /// When `leading` becomes false, work in progress is cancelled at its next await point.
    pub async fn run(&self, mut leading: watch::Receiver<bool>) {
        while leading.wait_for(|leads| *leads).await.is_ok() {
            info!("leading: reconciling");
            let session = Arc::new(LeaderSession::new(Arc::clone(&self.context)));
            // Declared before the workers, which are thus dropped first.
            let _leadership = Leadership::begin(&self.context);
            let mut workers = JoinSet::new();
            for _ in 0..WORKERS {
                workers.spawn(run_worker(Arc::clone(&session)));
            }
            let _ = leading.wait_for(|leads| !leads).await;
            workers.shutdown().await;
            info!("lost leadership: no longer reconciling");
        }
    }
}

/// Processes one item after another, indefinitely.
async fn run_worker<C: Cluster, P: PodLister>(session: Arc<LeaderSession<C, P>>) {
    loop {
        let item = session.context.queue.next().await;
        let action = session.reconcile(&item).await;
        session.context.queue.done(item, action, (session.context.random)());
    }
}

impl<C: Cluster, P: PodLister> LeaderSession<C, P> {
    fn new(context: Arc<ReconcileContext<C, P>>) -> Self {
        Self {
            context,
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
            WorkItem::Losses => Ok(self.publish_losses().await),
            WorkItem::Audit => self.audit().await,
            WorkItem::Resync => Ok(self.resync()),
        };
        let outcome = match &result {
            Ok(_) => ReconcileOutcome::Done,
            Err(ClusterError::Conflict | ClusterError::NotFound) => {
                debug!(?item, "an object was changed in the meantime; retrying");
                ReconcileOutcome::Conflict
            }
            Err(ClusterError::Failed(error)) => {
                warn!(?item, error, "reconciliation failed; retrying");
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

    /// Schedules every `TraceBuffer` that may be affected by a change of the namespace, or of a
    /// `TraceBuffer` in it.
    fn reconcile_namespace(&self, name: &str) -> ReconcileAction {
        let ReconcileContext { cluster, pods, facts, queue, .. } = &*self.context;
        let namespace = pods.namespace(name);
        let names = cluster.names_in(name);
        let to_key =
            |name: &String| ObjectKey { namespace: namespace.name.clone(), name: name.clone() };
        let mut keys: BTreeSet<_> = names.iter().map(to_key).collect();
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
        let remembered = self.trace_buffers.lock().keys().cloned().collect::<Vec<_>>();
        for key in self.context.cluster.trace_buffer_keys().into_iter().chain(remembered) {
            self.context.queue.schedule(WorkItem::TraceBuffer(key), Duration::ZERO);
        }
        self.context.queue.schedule(WorkItem::Audit, Duration::ZERO);
        self.context.queue.schedule(WorkItem::Losses, Duration::ZERO);
        ReconcileAction::RequeueAfter(RESYNC_INTERVAL)
    }

    /// Returns the time since this replica began to lead.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod tests;
