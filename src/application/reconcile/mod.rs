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

use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::facts::ClusterFacts;
use crate::domain::operating::standing::trace_buffer_of;
use crate::ports::cluster::{Cluster, ClusterError};
use crate::ports::operation::{OperationMonitor, ReconcileOutcome};
use crate::ports::pods::Pods;
use audit::Told;
use limits::Refusals;
use queue::{Item, Next, WorkQueue};
use rollout::Campaign;
use trace_buffer::{Gone, LookedUp};

/// How many things are looked at at a time.
const WORKERS: usize = 4;
/// How often everything is looked at, changed or not.
const RESYNC_EVERY: Duration = Duration::from_mins(5);
/// How often is asked whether everything was seen once.
const UNTIL_SYNCED: Duration = Duration::from_millis(500);

/// What reconciling is connected to.
pub struct Parts<C, P> {
    /// The cluster.
    pub cluster: Arc<C>,
    /// Its pods.
    pub pods: Arc<P>,
    /// Where changes arrive.
    pub queue: Arc<WorkQueue>,
    /// Who watches.
    pub monitor: Arc<dyn OperationMonitor>,
    /// What the injection decision knows of the cluster.
    pub facts: ClusterFacts,
    /// Gives a fresh random number at each call.
    pub random: fn() -> u64,
}

/// The use case.
pub struct Reconciler<C, P> {
    parts: Arc<Parts<C, P>>,
}

/// What is remembered while this replica leads.
struct Term<C, P> {
    parts: Arc<Parts<C, P>>,
    started: Instant,
    known: Mutex<HashMap<ObjectKey, Known>>,
    campaigns: Mutex<HashMap<ObjectKey, Campaign>>,
    refusals: Mutex<HashMap<ObjectKey, Refusals>>,
    told: Mutex<Told>,
}

/// What is remembered of one `TraceBuffer`.
#[derive(Default)]
struct Known {
    looked_up: Option<LookedUp>,
    gone: Option<Gone>,
}

impl<C: Cluster, P: Pods> Reconciler<C, P> {
    /// Creates the use case.
    #[must_use]
    pub fn new(parts: Parts<C, P>) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Reconciles whenever `leading` is true, until nobody can tell any more.
    ///
    /// When it ceases to be true, all that is under way is broken off at its next wait.
    pub async fn run(&self, mut leading: watch::Receiver<bool>) {
        while leading.wait_for(|leads| *leads).await.is_ok() {
            info!("reconciling");
            let term = Arc::new(Term::new(Arc::clone(&self.parts)));
            self.parts.queue.clear();
            self.parts.queue.schedule(Item::Resync, Duration::ZERO);
            let mut workers = JoinSet::new();
            for _ in 0..WORKERS {
                workers.spawn(work(Arc::clone(&term)));
            }
            let _ = leading.wait_for(|leads| !leads).await;
            workers.shutdown().await;
            info!("no longer reconciling");
        }
    }
}

/// Looks at one thing after another, for ever.
async fn work<C: Cluster, P: Pods>(term: Arc<Term<C, P>>) {
    loop {
        let item = term.parts.queue.next().await;
        let next = term.look_at(&item).await;
        term.parts.queue.done(item, next, (term.parts.random)());
    }
}

impl<C: Cluster, P: Pods> Term<C, P> {
    fn new(parts: Arc<Parts<C, P>>) -> Self {
        Self {
            parts,
            started: Instant::now(),
            known: Mutex::default(),
            campaigns: Mutex::default(),
            refusals: Mutex::default(),
            told: Mutex::default(),
        }
    }

    async fn look_at(&self, item: &Item) -> Next {
        if !self.parts.cluster.is_synced() {
            return Next::After(UNTIL_SYNCED);
        }
        let started = Instant::now();
        let result = match item {
            Item::TraceBuffer(key) => self.trace_buffer(key).await,
            Item::Rollout(key) => self.roll_out(key).await,
            Item::Namespace(namespace) => Ok(self.namespace(namespace)),
            Item::Audit => self.audit().await,
            Item::Resync => Ok(self.resync()),
        };
        let outcome = match &result {
            Ok(_) => ReconcileOutcome::Done,
            Err(ClusterError::Conflict | ClusterError::Gone) => {
                debug!(?item, "somebody else wrote in the meantime");
                ReconcileOutcome::Conflict
            }
            Err(ClusterError::Failed(why)) => {
                warn!(?item, why, "cannot reconcile; trying again");
                ReconcileOutcome::Failed
            }
        };
        self.parts.monitor.reconciled(outcome, started.elapsed());
        result.unwrap_or(Next::Retry)
    }

    /// Looks at every `TraceBuffer` that a change of the namespace, or of a `TraceBuffer` in it, may
    /// concern.
    fn namespace(&self, name: &str) -> Next {
        let Parts { cluster, pods, facts, queue, .. } = &*self.parts;
        let namespace = pods.namespace(name);
        let names = cluster.names_in(name);
        let here =
            |name: &String| ObjectKey { namespace: namespace.name.clone(), name: name.clone() };
        let mut keys: BTreeSet<_> = names.iter().map(here).collect();
        keys.extend(namespace.named().ok().flatten());
        keys.extend(facts.default_trace_buffer.clone());
        let pods = pods.in_namespace(name);
        keys.extend(
            pods.iter().filter_map(|pod| trace_buffer_of(pod, &namespace, facts, || names.clone())),
        );
        for key in keys {
            queue.schedule(Item::TraceBuffer(key), Duration::ZERO);
        }
        Next::Rest
    }

    fn resync(&self) -> Next {
        let known = self.known.lock().keys().cloned().collect::<Vec<_>>();
        for key in self.parts.cluster.trace_buffers().into_iter().chain(known) {
            self.parts.queue.schedule(Item::TraceBuffer(key), Duration::ZERO);
        }
        self.parts.queue.schedule(Item::Audit, Duration::ZERO);
        Next::After(RESYNC_EVERY)
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
