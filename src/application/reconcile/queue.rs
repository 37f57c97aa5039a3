//! What is to be looked at, and when: each thing once, however often it changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::domain::backoff::Backoff;
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::pod_record::PodRecord;
use crate::domain::injection::request::InjectRequest;
use crate::domain::injection::status::PodStatus;
use crate::domain::operating::standing::asks_in_vain;
use crate::ports::pods::Changes;

/// How long changes of a `TraceBuffer` are gathered.
const SPEC_PAUSE: Duration = Duration::from_millis(100);
/// How long changes of pods are gathered before they are counted.
const COUNT_PAUSE: Duration = Duration::from_secs(2);
/// How long pods may be bare before their owners are told.
const AUDIT_PAUSE: Duration = Duration::from_secs(3);
/// The shortest wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Item {
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
pub(super) enum Next {
    /// Nothing more until it changes.
    Rest,
    /// Look again after this time.
    After(Duration),
    /// It failed.
    Retry,
}

/// The queue of a reconciler. Hears of changes; nothing in it is ever handed out twice at a time.
#[derive(Default)]
pub struct WorkQueue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// When each is due.
    due: HashMap<Item, Instant>,
    /// Those of them that are not being looked at, by time.
    waiting: BTreeSet<(Instant, Item)>,
    running: HashSet<Item>,
    backoff: HashMap<Item, Backoff>,
}

impl WorkQueue {
    /// Sees to it that `item` is looked at after `delay` at the latest.
    pub(super) fn schedule(&self, item: Item, delay: Duration) {
        self.state.lock().schedule(item, Instant::now() + delay);
        self.changed.notify_one();
    }

    /// Forgets everything, what is being looked at included.
    pub(super) fn clear(&self) {
        *self.state.lock() = State::default();
    }

    /// Waits for something that is due, and hands it out. Cancel safe.
    pub(super) async fn next(&self) -> Item {
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
    pub(super) fn done(&self, item: Item, next: Next, random: u64) {
        let mut state = self.state.lock();
        state.running.remove(&item);
        let delay = match next {
            Next::Retry => {
                let backoff = state.backoff.entry(item.clone()).or_default();
                Some(backoff.after_failure(Some(AFTER_FAILURE), random))
            }
            Next::Rest | Next::After(_) => {
                state.backoff.remove(&item);
                if let Next::After(delay) = next { Some(delay) } else { None }
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

impl State {
    fn schedule(&mut self, item: Item, due: Instant) {
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
    fn pop(&mut self) -> Result<Item, Option<Instant>> {
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

impl Changes for WorkQueue {
    fn trace_buffer(&self, key: &ObjectKey) {
        self.schedule(Item::TraceBuffer(key.clone()), SPEC_PAUSE);
        // Which one counts for pods that name none may have changed.
        self.schedule(Item::Namespace(key.namespace.clone()), COUNT_PAUSE);
        self.schedule(Item::Audit, AUDIT_PAUSE);
    }

    fn pod(&self, pod: &PodRecord) {
        self.schedule(Item::Audit, AUDIT_PAUSE);
        if let Some(item) = concerned(pod) {
            self.schedule(item, COUNT_PAUSE);
        }
    }

    fn namespace(&self, namespace: &str) {
        self.schedule(Item::Namespace(namespace.to_owned()), COUNT_PAUSE);
        self.schedule(Item::Audit, AUDIT_PAUSE);
    }

    fn everything(&self) {
        self.schedule(Item::Resync, Duration::ZERO);
    }
}

/// Returns what a change of `pod` concerns: the `TraceBuffer` it uses or names, or its namespace,
/// which knows the one that counts there.
fn concerned(pod: &PodRecord) -> Option<Item> {
    let namespace = &pod.key.namespace;
    if let Some(PodStatus::Injected(injected)) = &pod.status {
        return Some(Item::TraceBuffer(injected.trace_buffer.clone()));
    }
    if !asks_in_vain(pod, true) {
        return None;
    }
    match InjectRequest::of(pod.inject.as_deref(), true).ok()?? {
        InjectRequest::Never => None,
        InjectRequest::Default => Some(Item::Namespace(namespace.clone())),
        InjectRequest::Named(name) => {
            Some(Item::TraceBuffer(ObjectKey { namespace: namespace.clone(), name }))
        }
        InjectRequest::NamedInFull(key) => Some(Item::TraceBuffer(key)),
    }
}

#[cfg(test)]
mod tests;
