//! What `explain` reads from the cluster: one pod, and what decides about it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::facts::{Place, version};
use super::operator::Operator;
use super::seen::{Seen, list};
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::pod::status::from_annotation;
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::sidecar::{Sidecar, SidecarDefaults, candidate};
use crate::domain::injection::candidate::{Candidate, ObjectKey};
use crate::domain::injection::decide::{Wanted, wanted};
use crate::domain::injection::facts::{ClusterFacts, NamespaceFacts};
use crate::domain::injection::request::InjectRequest;
use crate::domain::injection::status::PodStatus;

/// A pod, and what decides about it.
#[derive(Clone, Debug)]
pub struct Case {
    pub(super) key: ObjectKey,
    pub(super) pod: Seen<Pod>,
    pub(super) namespace: NamespaceFacts,
    pub(super) cluster: ClusterFacts,
    pub(super) operator: Operator,
    /// Those of the pod's namespace, and those it names elsewhere.
    pub(super) candidates: Vec<Arc<Candidate<Sidecar>>>,
    /// Why `TraceBuffer`s could not be seen.
    pub(super) unseen: Option<String>,
}

impl Case {
    /// Reads all about the pod `key`.
    ///
    /// # Errors
    ///
    /// Why the API server could not be asked.
    pub async fn read(client: &Client, key: ObjectKey, place: &Place) -> Result<Self, kube::Error> {
        let version = version(client).await?;
        let native = version
            .get()
            .is_none_or(|(major, minor, _)| ClusterFacts::has_native_sidecars(*major, *minor));
        let (name, namespace) = (&place.operator_name, &place.operator_namespace);
        let operator = Operator::look(client, name.as_deref(), namespace.as_deref()).await;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let labels = Seen::of(namespaces.get(&key.namespace).await);
        let asks = labels.get().is_some_and(|found| {
            found.labels().get(names::INJECT).is_some_and(|label| label == names::INJECT_ENABLED)
        });
        let mut case = Self {
            pod: Seen::of(pods.get(&key.name).await),
            namespace: NamespaceFacts { name: key.namespace.clone(), asks },
            cluster: operator.cluster(native),
            operator,
            candidates: Vec::new(),
            unseen: None,
            key,
        };
        let trace_buffers =
            |namespace: &str| Api::<TraceBuffer>::namespaced(client.clone(), namespace);
        case.learn(list(&trace_buffers(&case.key.namespace), &ListParams::default()).await);
        for key in case.elsewhere() {
            let found = trace_buffers(&key.namespace).get(&key.name).await;
            case.learn(Seen::of(found.map(|one| vec![one])));
        }
        Ok(case)
    }

    /// Returns the `TraceBuffer`s of other namespaces that the pod names, or has its sidecar from.
    fn elsewhere(&self) -> Vec<ObjectKey> {
        let request = InjectRequest::of(self.annotation(names::INJECT), self.namespace.asks);
        let named = match request.ok().flatten().and_then(|r| wanted(&r, &self.key.namespace)) {
            Some(Wanted::One(key)) => Some(key),
            _ => None,
        };
        let used = match self.status() {
            Some(PodStatus::Injected(injected)) => Some(injected.trace_buffer),
            _ => None,
        };
        let mut keys: Vec<_> = named.into_iter().chain(used).collect();
        keys.retain(|key| key.namespace != self.key.namespace);
        keys.dedup();
        keys
    }

    fn learn(&mut self, seen: Seen<Vec<TraceBuffer>>) {
        // The image is no part of what is compared.
        let defaults = SidecarDefaults { image: String::new(), image_pull_policy: None };
        match seen {
            Seen::Is(found) => {
                self.candidates.extend(found.iter().map(|one| Arc::new(candidate(one, &defaults))));
            }
            Seen::Absent => {}
            Seen::Hidden(why) | Seen::Unknown(why) => self.unseen = Some(why),
        }
    }

    /// Returns the value of an annotation of the pod.
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.pod.get()?.annotations().get(name).map(String::as_str)
    }

    /// Returns what was decided for the pod when it was created.
    pub(super) fn status(&self) -> Option<PodStatus> {
        from_annotation(self.annotation(names::STATUS)?)
    }

    /// Returns the `TraceBuffer`s that a decision asks for.
    pub(super) fn known(&self, wanted: &Wanted) -> Vec<Arc<Candidate<Sidecar>>> {
        let is_wanted = |candidate: &&Arc<Candidate<Sidecar>>| match wanted {
            Wanted::AllOf(namespace) => candidate.key.namespace == *namespace,
            Wanted::One(key) => candidate.key == *key,
        };
        self.candidates.iter().filter(is_wanted).cloned().collect()
    }
}
