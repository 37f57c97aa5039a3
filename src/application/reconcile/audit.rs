//! Finds pods that have no sidecar although they ask for one, and tells the owners of all pods what
//! became of them: once for each owner and cause.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Term;
use super::queue::{Item, Next};
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::pod_record::PodRecord;
use crate::domain::injection::status::PodStatus;
use crate::domain::operating::declared::Declared;
use crate::domain::operating::notice::Notice;
use crate::domain::operating::standing::{Cause, Standing, asks_in_vain, standing};
use crate::ports::cluster::{Cluster, ClusterError, Workload};
use crate::ports::pods::Pods;

/// Most owners told in one go.
const TOLD_AT_ONCE: usize = 50;
/// How long to wait before the next ones.
const TELL_PAUSE: Duration = Duration::from_secs(1);
/// How long a workload is not told the same again, although its pods are others' now; as long as
/// Kubernetes keeps events.
const NOT_AGAIN: Duration = Duration::from_hours(1);

/// What owners were told while this replica leads.
#[derive(Default)]
pub(super) struct Told {
    /// By what controls the pods.
    owners: HashSet<NoticeKey>,
    /// By the workload.
    workloads: HashMap<NoticeKey, Instant>,
    /// Whether there was an audit already.
    is_primed: bool,
}

/// Two notices of the same key are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NoticeKey {
    /// Whoever creates pods can name the UID of another namespace's object as their owner's.
    namespace: String,
    uid: String,
    reason: &'static str,
    cause: String,
}

/// What an audit found.
#[derive(Default)]
struct Findings {
    uninjected: BTreeMap<&'static str, u64>,
    seen: HashSet<NoticeKey>,
    to_tell: Vec<(Arc<PodRecord>, Notice)>,
}

impl NoticeKey {
    fn new(namespace: &str, uid: &str, notice: &Notice) -> Self {
        let (namespace, uid) = (namespace.to_owned(), uid.to_owned());
        Self { namespace, uid, reason: notice.reason, cause: notice.cause.clone() }
    }

    /// The key for what controls a pod, or the pod itself.
    fn of(pod: &PodRecord, notice: &Notice) -> Self {
        let uid = pod.owner.as_ref().map_or(&pod.uid, |owner| &owner.uid);
        Self::new(&pod.key.namespace, uid, notice)
    }
}

impl<C: Cluster, P: Pods> Term<C, P> {
    pub(super) async fn audit(&self) -> Result<Next, ClusterError> {
        let findings = self.find();
        self.parts.monitor.uninjected(&findings.uninjected);
        let to_tell = findings.to_tell.iter().map(|(pod, notice)| (pod.as_ref(), notice));
        self.tell_owners(to_tell).await
    }

    /// Tells the workloads of pods that do not know, some at a time. One that cannot be told now
    /// keeps no other waiting.
    pub(super) async fn tell_owners<'a>(
        &self,
        to_tell: impl Iterator<Item = (&'a PodRecord, &'a Notice)> + Send,
    ) -> Result<Next, ClusterError> {
        let mut tries = 0;
        let mut result = Ok(Next::Rest);
        for (pod, notice) in to_tell {
            if tries == TOLD_AT_ONCE {
                return result.and(Ok(Next::After(TELL_PAUSE)));
            }
            match self.tell_owner(pod, notice).await {
                Ok(is_news) => tries += usize::from(is_news),
                Err(error) => {
                    tries += 1;
                    result = Err(error);
                }
            }
        }
        result
    }

    /// Looks at every pod. Forgets what owners were told that are no longer there.
    fn find(&self) -> Findings {
        let mut findings = Findings::default();
        let mut declared = HashMap::new();
        let pods = self.parts.pods.all();
        let mut told = self.told.lock();
        for pod in pods.into_iter().filter(|pod| !pod.is_ending) {
            let Some(notice) = self.notice(&pod, &mut declared, &mut findings.uninjected) else {
                continue;
            };
            let key = NoticeKey::of(&pod, &notice);
            if told.owners.contains(&key) {
                findings.seen.insert(key);
            } else if !told.is_primed && notice.is_old_news() {
                told.owners.insert(key.clone());
                findings.seen.insert(key);
            } else if findings.seen.insert(key) {
                findings.to_tell.push((pod, notice));
            }
        }
        told.is_primed = true;
        told.owners.retain(|key| findings.seen.contains(key));
        told.workloads.retain(|_, at| at.elapsed() < NOT_AGAIN);
        findings
    }

    /// Returns what the owner of `pod` should know.
    fn notice(
        &self,
        pod: &PodRecord,
        known: &mut HashMap<ObjectKey, Option<Arc<Declared>>>,
        uninjected: &mut BTreeMap<&'static str, u64>,
    ) -> Option<Notice> {
        let Some(PodStatus::Injected(injected)) = &pod.status else {
            let cause = self.cause(pod)?;
            // Where injection is disabled nothing is missing; the owner is told why all the same.
            if !self.parts.facts.excludes(&pod.key.namespace) {
                *uninjected.entry(cause.as_str()).or_default() += 1;
            }
            return Some(Notice::missing(&cause));
        };
        let key = &injected.trace_buffer;
        let declared = known.entry(key.clone()).or_insert_with(|| {
            let declared = self.parts.cluster.declared(key);
            if declared.is_none() && !self.is_gone_and_told(key) {
                self.parts.queue.schedule(Item::TraceBuffer(key.clone()), Duration::ZERO);
            }
            declared
        });
        let declared = declared.as_ref()?;
        let allows = || declared.allows(&self.parts.pods.namespace(&pod.key.namespace));
        match standing(pod, declared) {
            // Where it is no longer allowed, no new pod would take the change up.
            Standing::Outdated(change) if allows() => {
                Some(Notice::outdated(key, change, declared.sidecar.as_ref().ok()?))
            }
            _ => Some(Notice::injected(key, &injected.hash)),
        }
    }

    /// Returns why a pod without sidecar has none, if it asks for one.
    fn cause(&self, pod: &PodRecord) -> Option<Cause> {
        let namespace = &pod.key.namespace;
        if !asks_in_vain(pod, self.parts.pods.namespace(namespace).asks) {
            return None;
        }
        Some(match &pod.status {
            Some(PodStatus::Skipped { reason, message }) => {
                Cause::Skipped { reason: *reason, message: message.clone() }
            }
            _ if self.parts.facts.excludes(namespace) => Cause::excluded(namespace),
            _ => Cause::WebhookNotCalled,
        })
    }

    /// Tells the workload of `pod`, unless it knows; returns whether it did not.
    async fn tell_owner(&self, pod: &PodRecord, notice: &Notice) -> Result<bool, ClusterError> {
        let key = NoticeKey::of(pod, notice);
        if self.told.lock().owners.contains(&key) {
            return Ok(false);
        }
        let is_news = match self.parts.cluster.workload_of(pod).await {
            Ok(workload) => self.tell(&workload, notice).await?,
            Err(ClusterError::Gone) => false,
            Err(error) => return Err(error),
        };
        self.told.lock().owners.insert(key);
        Ok(is_news)
    }

    /// Tells a workload, unless it knows; returns whether it did not.
    pub(super) async fn tell(
        &self,
        workload: &Workload,
        notice: &Notice,
    ) -> Result<bool, ClusterError> {
        let key = NoticeKey::new(&workload.namespace, &workload.object.uid, notice);
        if self.told.lock().workloads.contains_key(&key) {
            return Ok(false);
        }
        match self.parts.cluster.tell(workload, notice).await {
            Ok(()) | Err(ClusterError::Gone) => {}
            Err(error) => return Err(error),
        }
        self.told.lock().workloads.insert(key, Instant::now());
        Ok(true)
    }
}
