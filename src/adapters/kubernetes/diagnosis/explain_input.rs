//! What `explain` reads from the cluster: one pod, and what decides about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::check_input::{DiagnosisScope, fetch_version};
use super::fetched::{Fetched, list};
use super::operator::OperatorObjects;
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::namespace::{misconfiguration, namespace_facts};
use crate::adapters::kubernetes::pod::status::from_annotation;
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::sidecar::{Sidecar, SidecarDefaults, trace_buffer_view};
use crate::domain::operator::injection::facts::{ClusterFacts, NamespaceFacts};
use crate::domain::operator::injection::request::InjectRequest;
use crate::domain::operator::injection::status::InjectionStatus;
use crate::domain::operator::injection::trace_buffer_view::TraceBufferView;
use crate::domain::operator::object_key::ObjectKey;

/// A pod, and what decides about it.
#[derive(Clone, Debug)]
pub struct ExplainInput {
    pub(super) key: ObjectKey,
    pub(super) pod: Fetched<Pod>,
    pub(super) namespace: NamespaceFacts,
    /// What is set on the Namespace and means nothing there.
    pub(super) namespace_misconfiguration: Option<String>,
    pub(super) cluster: ClusterFacts,
    pub(super) operator: OperatorObjects,
    /// Those of the pod's namespace, and those it names elsewhere.
    pub(super) trace_buffers: Vec<Arc<TraceBufferView<Sidecar>>>,
    /// Why `TraceBuffer`s or the Namespace could not be seen.
    pub(super) fetch_error: Option<String>,
}

impl ExplainInput {
    /// Reads all about the pod `key`.
    ///
    /// # Errors
    ///
    /// Why the API server could not be asked.
    pub async fn read(
        client: &Client,
        key: ObjectKey,
        place: &DiagnosisScope,
    ) -> Result<Self, kube::Error> {
        // Without an answer there is nothing to look at.
        fetch_version(client).await?;
        let (name, namespace) = (&place.operator_name, &place.operator_namespace);
        let operator = OperatorObjects::read(client, name.as_deref(), namespace.as_deref()).await;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = Fetched::from_result(namespaces.get_metadata(&key.namespace).await);
        let mut case = Self {
            pod: Fetched::from_result(pods.get(&key.name).await),
            namespace: namespace.get().map_or_else(
                || NamespaceFacts::unknown(&key.namespace),
                |found| namespace_facts(&found.metadata),
            ),
            namespace_misconfiguration: namespace
                .get()
                .and_then(|found| misconfiguration(&found.metadata)),
            cluster: operator.cluster_facts(),
            operator,
            trace_buffers: Vec::new(),
            fetch_error: namespace.error_message(),
            key,
        };
        let trace_buffers =
            |namespace: &str| Api::<TraceBuffer>::namespaced(client.clone(), namespace);
        case.add_trace_buffers(
            list(&trace_buffers(&case.key.namespace), &ListParams::default()).await,
        );
        for key in case.referenced_elsewhere() {
            let found = trace_buffers(&key.namespace).get(&key.name).await;
            case.add_trace_buffers(Fetched::from_result(found.map(|one| vec![one])));
        }
        Ok(case)
    }

    /// Returns the `TraceBuffer`s of other namespaces that may count for the pod, or that it has its
    /// sidecar from.
    fn referenced_elsewhere(&self) -> Vec<ObjectKey> {
        let asked = InjectRequest::resolve(self.annotation(names::INJECT), self.namespace.opted_in);
        let named = match asked {
            Ok(Some(InjectRequest::Qualified(key))) => Some(key),
            _ => None,
        };
        let of_namespace = self.namespace.named_trace_buffer().ok().flatten();
        let used = match self.injection_status() {
            Some(InjectionStatus::Injected(injected)) => Some(injected.trace_buffer),
            _ => None,
        };
        let default = self.cluster.default_trace_buffer.clone();
        let all = [named, of_namespace, used, default].into_iter().flatten();
        let keys: BTreeSet<_> = all.filter(|key| key.namespace != self.key.namespace).collect();
        keys.into_iter().collect()
    }

    fn add_trace_buffers(&mut self, seen: Fetched<Vec<TraceBuffer>>) {
        // The image is no part of what is compared.
        let defaults = SidecarDefaults::unknown();
        match seen {
            Fetched::Found(found) => {
                self.trace_buffers
                    .extend(found.iter().map(|one| Arc::new(trace_buffer_view(one, &defaults))));
            }
            Fetched::NotFound => {}
            Fetched::Forbidden(why) | Fetched::Failed(why) => self.fetch_error = Some(why),
        }
    }

    /// Returns the value of an annotation of the pod.
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.pod.get()?.annotations().get(name).map(String::as_str)
    }

    /// Returns what was decided for the pod when it was created.
    pub(super) fn injection_status(&self) -> Option<InjectionStatus> {
        from_annotation(self.annotation(names::STATUS)?)
    }
}
