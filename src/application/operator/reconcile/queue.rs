//! What is to be looked at, and when: each thing once, however often it changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::domain::backoff::Backoff;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::request::InjectRequest;
use crate::domain::operator::injection::status::InjectionStatus;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::sidecar_state::is_missing_sidecar;
use crate::ports::operator::pods::ChangeHandler;

/// How long changes of a `TraceBuffer` are gathered.
const TRACE_BUFFER_DEBOUNCE: Duration = Duration::from_millis(100);
/// How long changes of pods are gathered before they are counted.
const POD_DEBOUNCE: Duration = Duration::from_secs(2);
/// How long pods may be bare before their owners are told.
const AUDIT_DEBOUNCE: Duration = Duration::from_secs(3);
/// The shortest wait after a failure.
const MIN_BACKOFF: Duration = Duration::from_millis(500);

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum WorkItem {
    /// One `TraceBuffer`.
    TraceBuffer(ObjectKey),
    /// The restarts that a change of it needs.
    Rollout(ObjectKey),
    /// Every `TraceBuffer` that the pods of a namespace use or ask for.
    Namespace(String),
    /// Every pod, for what its owner should know.
    Audit,
    /// Everything.
    Resync,
}

/// How a look at something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReconcileAction {
    /// Nothing more until it changes.
    AwaitChange,
    /// Look again after this time.
    RequeueAfter(Duration),
    /// It failed.
    Retry,
}

/// The queue of a reconciler. Hears of changes; nothing in it is ever handed out twice at a time.
#[derive(Default)]
pub struct WorkQueue {
    state: Mutex<QueueState>,
    changed: Notify,
}

#[derive(Default)]
struct QueueState {
    /// When each is due.
    due: HashMap<WorkItem, Instant>,
    /// Those of them that are not being looked at, by time.
    waiting: BTreeSet<(Instant, WorkItem)>,
    running: HashSet<WorkItem>,
    backoff: HashMap<WorkItem, Backoff>,
}

impl WorkQueue {
    /// Sees to it that `item` is looked at after `delay` at the latest.
    pub(super) fn schedule(&self, item: WorkItem, delay: Duration) {
        self.state.lock().schedule(item, Instant::now() + delay);
        self.changed.notify_one();
    }

    /// Forgets everything, what is being looked at included.
    pub(super) fn clear(&self) {
        *self.state.lock() = QueueState::default();
    }

    /// Waits for something that is due, and hands it out. Cancel safe.
    pub(super) async fn next(&self) -> WorkItem {
        loop {
            let changed = self.changed.notified();
            let due = match self.state.lock().pop() {
                Ok(item) => {
                    // Others may wait, and more may be due.
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

    /// Takes back what was handed out. `random` is a fresh random number.
    pub(super) fn done(&self, item: WorkItem, next: ReconcileAction, random: u64) {
        let mut state = self.state.lock();
        state.running.remove(&item);
        let delay = match next {
            ReconcileAction::Retry => {
                let backoff = state.backoff.entry(item.clone()).or_default();
                Some(backoff.after_failure(Some(MIN_BACKOFF), random))
            }
            ReconcileAction::AwaitChange | ReconcileAction::RequeueAfter(_) => {
                state.backoff.remove(&item);
                if let ReconcileAction::RequeueAfter(delay) = next { Some(delay) } else { None }
            }
        };
        if let Some(due) = state.due.get(&item).copied() {
            // It changed while it was looked at.
            state.waiting.insert((due, item.clone()));
        }
        if let Some(delay) = delay {
            state.schedule(item, Instant::now() + delay);
        }
        drop(state);
        self.changed.notify_one();
    }
}

impl QueueState {
    fn schedule(&mut self, item: WorkItem, due: Instant) {
        match self.due.get(&item).copied() {
            Some(known) if known <= due => return,
            Some(known) => self.waiting.remove(&(known, item.clone())),
            None => false,
        };
        self.due.insert(item.clone(), due);
        if !self.running.contains(&item) {
            self.waiting.insert((due, item));
        }
    }

    /// Hands out what is due, or says when something will be.
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
}

impl ChangeHandler for WorkQueue {
    fn trace_buffer_changed(&self, key: &ObjectKey) {
        self.schedule(WorkItem::TraceBuffer(key.clone()), TRACE_BUFFER_DEBOUNCE);
        // Which one counts for pods that name none may have changed.
        self.schedule(WorkItem::Namespace(key.namespace.clone()), POD_DEBOUNCE);
        self.schedule(WorkItem::Audit, AUDIT_DEBOUNCE);
    }

    fn pod_changed(&self, pod: &PodSnapshot) {
        self.schedule(WorkItem::Audit, AUDIT_DEBOUNCE);
        if let Some(item) = work_item_for(pod) {
            self.schedule(item, POD_DEBOUNCE);
        }
    }

    fn namespace_changed(&self, namespace: &str) {
        self.schedule(WorkItem::Namespace(namespace.to_owned()), POD_DEBOUNCE);
        self.schedule(WorkItem::Audit, AUDIT_DEBOUNCE);
    }

    fn resync(&self) {
        self.schedule(WorkItem::Resync, Duration::ZERO);
    }
}

/// Returns what a change of `pod` concerns: the `TraceBuffer` it uses or names, or its namespace,
/// which knows the one that counts there.
fn work_item_for(pod: &PodSnapshot) -> Option<WorkItem> {
    let namespace = &pod.key.namespace;
    if let Some(InjectionStatus::Injected(injected)) = &pod.status {
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
