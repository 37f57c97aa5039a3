//! The work queue of the reconciler: each item at most once, however often it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::domain::backoff::Backoff;
use crate::domain::final_ledger::FinalLedger;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::request::InjectRequest;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::sidecar_state::{injected_sidecar, is_missing_sidecar};
use crate::ports::operator::pods::ChangeHandler;

/// How long changes of a `TraceBuffer` are collected before it is reconciled.
const TRACE_BUFFER_DEBOUNCE: Duration = Duration::from_millis(100);
/// How long changes of pods are collected before the pods are counted.
const POD_DEBOUNCE: Duration = Duration::from_secs(2);
/// How long changes are collected before owners are notified of missing sidecars.
const AUDIT_DEBOUNCE: Duration = Duration::from_secs(3);
/// Maximum number of owners of pods whose losses wait to be published.
const MAX_LOSSES: usize = 1024;
/// The minimum wait after a failure.
const MIN_BACKOFF: Duration = Duration::from_millis(500);

/// Something to reconcile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum WorkItem {
    /// One `TraceBuffer`.
    TraceBuffer(ObjectKey),
    /// The restarts that a change of this `TraceBuffer` requires.
    Rollout(ObjectKey),
    /// Every `TraceBuffer` that the pods of this namespace use or ask for.
    Namespace(String),
    /// What ended sidecars have lost.
    Losses,
    /// All pods: which sidecars are missing, and what their owners should know.
    Audit,
    /// Everything.
    Resync,
}

/// What to do with an item that was processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReconcileAction {
    /// Nothing until it changes.
    AwaitChange,
    /// Process it again after this time.
    RequeueAfter(Duration),
    /// Process it again after a back-off, because it failed.
    Retry,
}

/// The work queue of a reconciler. An item is never handed out while it is being processed.
///
/// A queue is closed until `open` is called: the caches of every replica report
/// changes, but only the leader processes items, and pods' annotations decide how many items there
/// are.
#[derive(Default)]
pub struct WorkQueue {
    state: Mutex<QueueState>,
    changed: Notify,
}

#[derive(Default)]
struct QueueState {
    is_open: bool,
    /// When each item is due.
    due: HashMap<WorkItem, Instant>,
    /// The items of `due` that are not being processed, by time.
    waiting: BTreeSet<(Instant, WorkItem)>,
    running: HashSet<WorkItem>,
    failing: HashMap<WorkItem, FailingItem>,
    /// What the sidecar of a pod has lost, of the first pod of each owner, by its namespace and UID.
    losses: BTreeMap<(String, String), (PodSnapshot, FinalLedger)>,
}

/// An item whose last attempt failed.
#[derive(Clone, Copy)]
struct FailingItem {
    backoff: Backoff,
    /// No change brings the next attempt forward: a change often accompanies the failure.
    retry_at: Instant,
}

impl WorkQueue {
    /// Schedules `item` to be processed within `delay`, or when its back-off ends if that is later.
    /// Does nothing while the queue is closed.
    pub(super) fn schedule(&self, item: WorkItem, delay: Duration) {
        self.state.lock().schedule(item, Instant::now() + delay);
        self.changed.notify_one();
    }

    /// Returns up to `max` losses, and forgets them.
    pub(super) fn take_losses(&self, max: usize) -> Vec<(PodSnapshot, FinalLedger)> {
        let losses = &mut self.state.lock().losses;
        std::iter::from_fn(|| losses.pop_first()).take(max).map(|(_, loss)| loss).collect()
    }

    /// Starts to accept items, and forgets all that came before.
    pub(super) fn open(&self) {
        *self.state.lock() = QueueState { is_open: true, ..QueueState::default() };
    }

    /// Forgets all items, including those being processed, and accepts no others.
    pub(super) fn close(&self) {
        *self.state.lock() = QueueState::default();
    }

    /// Returns how many items are waiting or being processed.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let state = self.state.lock();
        state.due.len() + state.running.iter().filter(|item| !state.due.contains_key(item)).count()
    }

    /// Waits for an item that is due, and returns it. Cancel safe.
    pub(super) async fn next(&self) -> WorkItem {
        loop {
            let changed = self.changed.notified();
            let due = match self.state.lock().pop() {
                Ok(item) => {
                    // Wakes the next worker: more items may be due.
                    self.changed.notify_one();
                    return item;
                }
                Err(due) => due,
            };
            match due {
                None => changed.await,
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(due) => {}
                },
            }
        }
    }

    /// Takes back an item returned by [`next`](Self::next). `random` is a fresh random number.
    pub(super) fn done(&self, item: WorkItem, action: ReconcileAction, random: u64) {
        self.state.lock().done(item, action, random);
        self.changed.notify_one();
    }
}

impl QueueState {
    fn add_loss(&mut self, pod: &PodSnapshot, ledger: &FinalLedger) {
        if self.is_open && self.losses.len() < MAX_LOSSES {
            let key = (pod.key.namespace.clone(), pod.owner_uid().to_owned());
            self.losses.entry(key).or_insert_with(|| (pod.clone(), *ledger));
        }
    }

    fn schedule(&mut self, item: WorkItem, due: Instant) {
        if !self.is_open {
            return;
        }
        let due = self.failing.get(&item).map_or(due, |failing| due.max(failing.retry_at));
        match self.due.get(&item).copied() {
            Some(scheduled) if scheduled <= due => return,
            Some(scheduled) => self.waiting.remove(&(scheduled, item.clone())),
            None => false,
        };
        self.due.insert(item.clone(), due);
        if !self.running.contains(&item) {
            self.waiting.insert((due, item));
        }
    }

    /// Returns an item that is due, or the time at which the next one will be.
    fn pop(&mut self) -> Result<WorkItem, Option<Instant>> {
        match self.waiting.first() {
            None => return Err(None),
            Some((due, _)) if *due > Instant::now() => return Err(Some(*due)),
            Some(_) => {}
        }
        let (_, item) = self.waiting.pop_first().ok_or(None)?;
        self.due.remove(&item);
        self.running.insert(item.clone());
        Ok(item)
    }

    fn done(&mut self, item: WorkItem, action: ReconcileAction, random: u64) {
        self.running.remove(&item);
        let changed_meanwhile = self.due.remove(&item);
        let requested = match action {
            ReconcileAction::Retry => Some(self.record_failure(&item, random)),
            ReconcileAction::AwaitChange => {
                self.failing.remove(&item);
                None
            }
            ReconcileAction::RequeueAfter(delay) => {
                self.failing.remove(&item);
                Some(Instant::now() + delay)
            }
        };
        if let Some(due) = changed_meanwhile.into_iter().chain(requested).min() {
            self.schedule(item, due);
        }
    }

    /// Returns when to retry.
    fn record_failure(&mut self, item: &WorkItem, random: u64) -> Instant {
        let mut backoff = self.failing.get(item).map_or_else(Backoff::default, |it| it.backoff);
        let retry_at = Instant::now() + backoff.after_failure(Some(MIN_BACKOFF), random);
        self.failing.insert(item.clone(), FailingItem { backoff, retry_at });
        retry_at
    }
}

impl ChangeHandler for WorkQueue {
    fn trace_buffer_changed(&self, key: &ObjectKey) {
        self.schedule(WorkItem::TraceBuffer(key.clone()), TRACE_BUFFER_DEBOUNCE);
        // Pods that name no TraceBuffer may now use another one.
        self.schedule(WorkItem::Namespace(key.namespace.clone()), POD_DEBOUNCE);
        self.schedule(WorkItem::Audit, AUDIT_DEBOUNCE);
    }

    fn trace_buffer_status_changed(&self, key: &ObjectKey) {
        self.schedule(WorkItem::TraceBuffer(key.clone()), TRACE_BUFFER_DEBOUNCE);
    }

    fn pod_changed(&self, pod: &PodSnapshot) {
        self.schedule(WorkItem::Audit, AUDIT_DEBOUNCE);
        if let Some(item) = work_item_for(pod) {
            self.schedule(item, POD_DEBOUNCE);
        }
    }

    fn spans_lost(&self, pod: &PodSnapshot, ledger: &FinalLedger) {
        self.state.lock().add_loss(pod, ledger);
        self.schedule(WorkItem::Losses, Duration::ZERO);
    }

    fn namespace_changed(&self, namespace: &str) {
        self.schedule(WorkItem::Namespace(namespace.to_owned()), POD_DEBOUNCE);
        self.schedule(WorkItem::Audit, AUDIT_DEBOUNCE);
    }

    fn resync(&self) {
        self.schedule(WorkItem::Resync, Duration::ZERO);
    }
}

/// Returns the item that a change of `pod` concerns: the `TraceBuffer` that the pod uses or names,
/// or its namespace if that decides which `TraceBuffer` the pod uses.
fn work_item_for(pod: &PodSnapshot) -> Option<WorkItem> {
    let namespace = &pod.key.namespace;
    if let Some(injected) = injected_sidecar(pod) {
        return Some(WorkItem::TraceBuffer(injected.trace_buffer.clone()));
    }
    if !is_missing_sidecar(pod, true) {
        return None;
    }
    match InjectRequest::resolve(pod.inject.as_deref(), true).ok()?? {
        InjectRequest::OptOut => None,
        InjectRequest::Default => Some(WorkItem::Namespace(namespace.clone())),
        InjectRequest::Named(name) => {
            Some(WorkItem::TraceBuffer(ObjectKey { namespace: namespace.clone(), name }))
        }
        InjectRequest::Qualified(key) => Some(WorkItem::TraceBuffer(key)),
    }
}

#[cfg(test)]
mod tests;
