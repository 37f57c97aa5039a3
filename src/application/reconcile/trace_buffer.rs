//! One look at one `TraceBuffer`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::limits::{
    LIMITS_AT_ONCE, LIMITS_PAUSE, Refusals, WrongLimits, are_pending, wrong_limits,
};
use super::queue::{Item, Next};
use super::{Known, Parts, Term};
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::consent::is_trusted;
use crate::domain::injection::pod_record::PodRecord;
use crate::domain::injection::status::{Injected, PodStatus};
use crate::domain::operating::conditions::{self, References, Status};
use crate::domain::operating::declared::{Declared, Reference, RunningLimits};
use crate::domain::operating::notice::Notice;
use crate::domain::operating::standing::{PodCounts, Standing, standing, trace_buffer_of};
use crate::ports::cluster::{Cluster, ClusterError, Lookup};
use crate::ports::pods::Pods;

/// How long what came of looking for references is believed.
const BELIEVED: Duration = Duration::from_secs(30);
/// Most namespaces in which references are looked for.
const MOST_NAMESPACES: usize = 20;
/// How long a `TraceBuffer` must be gone before its pods' owners are told: word of a new one may be
/// slower than word of its pods.
const GONE_PAUSE: Duration = Duration::from_secs(5);

/// A pod and how it stands.
pub(super) type Member = (Arc<PodRecord>, Standing);

/// What came of looking for references.
#[derive(Clone)]
pub(super) struct LookedUp {
    at: Instant,
    sought: Vec<(String, Reference)>,
    found: References,
}

/// A `TraceBuffer` that is gone, while pods still have its sidecar.
#[derive(Clone, Copy)]
pub(super) struct Gone {
    since: Instant,
    is_told: bool,
}

/// What is to be.
struct Desired {
    status: Status,
    limits: Vec<WrongLimits>,
}

/// Builds what is to be from what is. `text` writes limits as sidecars read them.
fn build(
    declared: &Declared,
    references: &References,
    members: &[Member],
    refusals: &Refusals,
    text: impl Fn(&RunningLimits) -> String,
) -> Desired {
    let counts = PodCounts::of(members.iter().map(|(_, standing)| standing));
    let limits = wrong_limits(declared, members, refusals, text);
    let status = conditions::status(declared, references, counts, are_pending(&limits));
    Desired { status, limits }
}

pub(super) fn injected(pod: &PodRecord) -> Option<&Injected> {
    match &pod.status {
        Some(PodStatus::Injected(injected)) => Some(injected),
        _ => None,
    }
}

impl<C: Cluster, P: Pods> Term<C, P> {
    pub(super) async fn trace_buffer(&self, key: &ObjectKey) -> Result<Next, ClusterError> {
        let Some(declared) = self.parts.cluster.declared(key) else {
            return self.gone(key).await;
        };
        if let Some(known) = self.known.lock().get_mut(key) {
            known.gone = None;
        }
        let members = self.members(&declared);
        let references = self.dereference(&declared, &members).await;
        let cluster = &self.parts.cluster;
        let desired = {
            let all = self.refusals.lock();
            let none = Refusals::default();
            let refusals = all.get(key).unwrap_or(&none);
            let text = |limits: &RunningLimits| cluster.limits_text(limits);
            build(&declared, &references, &members, refusals, text)
        };
        self.parts.monitor.pods(key, Some(desired.status.pods));
        let applied = self.apply(&declared, &desired).await;
        self.update_status(&declared, &desired.status).await?;
        applied?;
        Ok(if desired.limits.len() > LIMITS_AT_ONCE {
            Next::After(LIMITS_PAUSE)
        } else if matches!(references, References::Absent(_) | References::Failed(_)) {
            Next::After(BELIEVED)
        } else {
            Next::Rest
        })
    }

    /// Returns the pods that use or ask for it, of the namespaces that it allows, and are not being
    /// deleted.
    pub(super) fn members(&self, declared: &Declared) -> Vec<Member> {
        let Parts { pods, cluster, facts, .. } = &*self.parts;
        let mut names = HashMap::new();
        let mut belongs = |pod: &PodRecord| {
            let namespace = pods.namespace(&pod.key.namespace);
            let names = || {
                let known = names.entry(pod.key.namespace.clone());
                known.or_insert_with(|| cluster.names_in(&pod.key.namespace)).clone()
            };
            declared.allows(&namespace)
                && trace_buffer_of(pod, &namespace, facts, names).as_ref() == Some(&declared.key)
        };
        let mut members = self.candidates(&declared.key);
        members.retain(|pod| !pod.is_ending && belongs(pod));
        let standing = |pod: Arc<PodRecord>| {
            let standing = standing(&pod, declared);
            (pod, standing)
        };
        members.into_iter().map(standing).collect()
    }

    /// Returns every pod that may use or ask for `key`, among others.
    fn candidates(&self, key: &ObjectKey) -> Vec<Arc<PodRecord>> {
        let pods = &self.parts.pods;
        if self.parts.facts.default_trace_buffer.as_ref() == Some(key) {
            return pods.all();
        }
        let mut candidates = pods.in_namespace(&key.namespace);
        let elsewhere = pods.using(key).into_iter();
        candidates.extend(elsewhere.filter(|pod| pod.key.namespace != key.namespace));
        candidates
    }

    /// Returns whether it may use what belongs to the namespace of `pod`.
    fn is_trusted_by(&self, declared: &Declared, pod: &PodRecord) -> bool {
        is_trusted(&declared.key, &self.parts.pods.namespace(&pod.key.namespace))
    }

    /// Looks for the objects that it names, in the namespaces of its pods that let it use them, or
    /// else in its own.
    async fn dereference(&self, declared: &Declared, members: &[Member]) -> References {
        let users = members
            .iter()
            .filter(|(pod, _)| injected(pod).is_some() && self.is_trusted_by(declared, pod));
        let mut namespaces: BTreeSet<_> =
            users.map(|(pod, _)| pod.key.namespace.as_str()).take(MOST_NAMESPACES).collect();
        if namespaces.is_empty() {
            namespaces.insert(declared.key.namespace.as_str());
        }
        let mut sought = vec![];
        for namespace in namespaces {
            let here = declared.references.iter().cloned();
            sought.extend(here.map(|reference| (namespace.to_owned(), reference)));
        }
        let known = self.known.lock().get(&declared.key).and_then(|known| known.looked_up.clone());
        if let Some(known) = known.filter(|known| known.sought == sought)
            && known.at.elapsed() < BELIEVED
        {
            return known.found;
        }
        let found = self.look_up(&sought).await;
        let looked_up = LookedUp { at: Instant::now(), sought, found: found.clone() };
        let known = Known { looked_up: Some(looked_up), gone: None };
        self.known.lock().insert(declared.key.clone(), known);
        found
    }

    async fn look_up(&self, sought: &[(String, Reference)]) -> References {
        let mut absent = vec![];
        for (namespace, reference) in sought {
            match self.parts.cluster.look_up(namespace, reference).await {
                Ok(Lookup::Found) => {}
                Ok(Lookup::Absent) => absent.push((reference.clone(), namespace.clone())),
                Ok(Lookup::NotAllowed) => return References::NotAllowed,
                Err(error) => return References::Failed(error.to_string()),
            }
        }
        match (sought, absent.is_empty()) {
            ([], _) => References::None,
            (_, true) => References::Found,
            (_, false) => References::Absent(absent),
        }
    }

    /// Writes limits, and starts what needs a restart.
    async fn apply(&self, declared: &Declared, desired: &Desired) -> Result<(), ClusterError> {
        if declared.rollout.is_some() {
            self.parts.queue.schedule(Item::Rollout(declared.key.clone()), Duration::ZERO);
        }
        self.write_limits(declared, &desired.limits).await
    }

    async fn update_status(
        &self,
        declared: &Declared,
        status: &Status,
    ) -> Result<(), ClusterError> {
        if declared.status.as_ref() == Some(status) {
            return Ok(());
        }
        self.parts.cluster.write_status(declared, status).await
    }

    /// Leaves the running pods of what is gone alone, and says so.
    async fn gone(&self, key: &ObjectKey) -> Result<Next, ClusterError> {
        self.parts.monitor.pods(key, None);
        self.campaigns.lock().remove(key);
        self.refusals.lock().remove(key);
        let mut users = self.parts.pods.using(key);
        users.retain(|pod| {
            !pod.is_ending && injected(pod).is_some_and(|injected| injected.trace_buffer == *key)
        });
        if users.is_empty() {
            self.known.lock().remove(key);
            return Ok(Next::Rest);
        }
        let now = Instant::now();
        let since = {
            let mut known = self.known.lock();
            let known = known.entry(key.clone()).or_default();
            known.gone.get_or_insert(Gone { since: now, is_told: false }).since
        };
        let left = GONE_PAUSE.saturating_sub(now.duration_since(since));
        if !left.is_zero() {
            return Ok(Next::After(left));
        }
        let notice = Notice::trace_buffer_deleted(key);
        let to_tell = users.iter().map(|pod| (pod.as_ref(), &notice));
        let next = self.tell_owners(to_tell).await?;
        if next != Next::Rest {
            return Ok(next);
        }
        let known = Known { gone: Some(Gone { since, is_told: true }), looked_up: None };
        self.known.lock().insert(key.clone(), known);
        Ok(Next::Rest)
    }

    /// Returns whether owners of pods of what is gone were told.
    pub(super) fn is_gone_and_told(&self, key: &ObjectKey) -> bool {
        let known = self.known.lock();
        known.get(key).and_then(|known| known.gone).is_some_and(|gone| gone.is_told)
    }
}
