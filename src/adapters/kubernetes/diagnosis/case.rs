//! What `explain` reads from the cluster: one pod, and what decides about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::facts::{Place, version};
use super::operator::Operator;
use super::seen::{Seen, list};
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::namespace::{mistake, namespace_facts};
use crate::adapters::kubernetes::pod::status::from_annotation;
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::sidecar::{Sidecar, SidecarDefaults, candidate};
use crate::domain::injection::candidate::{Candidate, ObjectKey};
use crate::domain::injection::facts::{ClusterFacts, NamespaceFacts};
use crate::domain::injection::request::InjectRequest;
use crate::domain::injection::status::PodStatus;

/// A pod, and what decides about it.
#[derive(Clone, Debug)]
pub struct Case {
    pub(super) key: ObjectKey,
    pub(super) pod: Seen<Pod>,
    pub(super) namespace: NamespaceFacts,
    /// What is set on the Namespace and means nothing there.
    pub(super) namespace_mistake: Option<String>,
    pub(super) cluster: ClusterFacts,
    pub(super) operator: Operator,
    /// Those of the pod's namespace, and those it names elsewhere.
    pub(super) candidates: Vec<Arc<Candidate<Sidecar>>>,
    /// Why `TraceBuffer`s or the Namespace could not be seen.
    pub(super) unseen: Option<String>,
}

impl Case {
    /// Reads all about the pod `key`.
    ///
    /// # Errors
    ///
    /// Why the API server could not be asked.
    pub async fn read(client: &Client, key: ObjectKey, place: &Place) -> Result<Self, kube::Error> {
        // Without an answer there is nothing to look at.
        version(client).await?;
        let (name, namespace) = (&place.operator_name, &place.operator_namespace);
        let operator = Operator::look(client, name.as_deref(), namespace.as_deref()).await;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = Seen::of(namespaces.get_metadata(&key.namespace).await);
        let mut case = Self {
            pod: Seen::of(pods.get(&key.name).await),
            namespace: namespace.get().map_or_else(
                || NamespaceFacts::unknown(&key.namespace),
                |found| namespace_facts(&found.metadata),
            ),
            namespace_mistake: namespace.get().and_then(|found| mistake(&found.metadata)),
            cluster: operator.cluster(),
            operator,
            candidates: Vec::new(),
            unseen: namespace.why_not(),
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

    /// Returns the `TraceBuffer`s of other namespaces that may count for the pod, or that it has its
    /// sidecar from.
    fn elsewhere(&self) -> Vec<ObjectKey> {
        let asked = InjectRequest::of(self.annotation(names::INJECT), self.namespace.asks);
        let named = match asked {
            Ok(Some(InjectRequest::NamedInFull(key))) => Some(key),
            _ => None,
        };
        let of_namespace = self.namespace.named().ok().flatten();
        let used = match self.status() {
            Some(PodStatus::Injected(injected)) => Some(injected.trace_buffer),
            _ => None,
        };
        let default = self.cluster.default_trace_buffer.clone();
        let all = [named, of_namespace, used, default].into_iter().flatten();
        let keys: BTreeSet<_> = all.filter(|key| key.namespace != self.key.namespace).collect();
        keys.into_iter().collect()
    }

    fn learn(&mut self, seen: Seen<Vec<TraceBuffer>>) {
        // The image is no part of what is compared.
        let defaults = SidecarDefaults::unknown();
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
}
