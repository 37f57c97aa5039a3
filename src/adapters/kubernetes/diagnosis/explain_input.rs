//! What `explain` reads from the cluster: one pod, and everything that its injection depends on.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerState, Namespace, Pod};
use kube::api::{ListParams, LogParams};
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

/// How much of the log of a container's last run is read.
const CRASH_LOG_LINES: i64 = 100;
const CRASH_LOG_BYTES: i64 = 64 << 10;

/// A pod, and everything that its injection depends on.
#[derive(Clone, Debug)]
pub struct ExplainInput {
    pub(super) key: ObjectKey,
    pub(super) pod: Fetched<Pod>,
    pub(super) namespace: NamespaceFacts,
    /// A label or annotation of the Namespace that has no effect there.
    pub(super) namespace_misconfiguration: Option<String>,
    pub(super) cluster: ClusterFacts,
    pub(super) operator: OperatorObjects,
    /// The `TraceBuffer`s of the pod's namespace, and those of other namespaces that it can refer to.
    pub(super) trace_buffers: Vec<Arc<TraceBufferView<Sidecar>>>,
    /// The end of the log of each container that does not run because it ended with an error, by name.
    pub(super) crash_logs: Vec<(String, Fetched<String>)>,
    /// Why `TraceBuffer`s or the Namespace could not be read.
    pub(super) fetch_error: Option<String>,
}

impl ExplainInput {
    /// Reads the pod `key` and what its injection depends on.
    ///
    /// # Errors
    ///
    /// The error of the connection if the API server does not respond.
    pub async fn read(
        client: &Client,
        key: ObjectKey,
        scope: &DiagnosisScope,
    ) -> Result<Self, kube::Error> {
        // Tests the connection.
        fetch_version(client).await?;
        let (name, namespace) = (&scope.operator_name, &scope.operator_namespace);
        let operator = OperatorObjects::read(client, name.as_deref(), namespace.as_deref()).await;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = Fetched::from_result(namespaces.get_metadata(&key.namespace).await);
        let mut input = Self {
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
            crash_logs: Vec::new(),
            fetch_error: namespace.error_message(),
            key,
        };
        let trace_buffers =
            |namespace: &str| Api::<TraceBuffer>::namespaced(client.clone(), namespace);
        input.add_trace_buffers(
            list(&trace_buffers(&input.key.namespace), &ListParams::default()).await,
        );
        for key in input.referenced_elsewhere() {
            let found = trace_buffers(&key.namespace).get(&key.name).await;
            input.add_trace_buffers(Fetched::from_result(found.map(|one| vec![one])));
        }
        for (container, previous) in input.crashed_containers() {
            let params = LogParams {
                container: Some(container.clone()),
                previous,
                tail_lines: Some(CRASH_LOG_LINES),
                limit_bytes: Some(CRASH_LOG_BYTES),
                ..LogParams::default()
            };
            let log = Fetched::from_result(pods.logs(&input.key.name, &params).await);
            input.crash_logs.push((container, log));
        }
        Ok(input)
    }

    /// Returns the names of the pod's other containers that do not run because they ended with an error,
    /// and whether they were restarted since.
    fn crashed_containers(&self) -> Vec<(String, bool)> {
        let Some(status) = self.pod.get().and_then(|pod| pod.status.as_ref()) else {
            return vec![];
        };
        let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        let failed = |state: Option<&ContainerState>| {
            let ended = state.and_then(|state| state.terminated.as_ref());
            ended.is_some_and(|ended| ended.exit_code != 0)
        };
        all.filter(|container| container.name != names::SIDECAR_CONTAINER)
            .filter_map(|container| {
                let now = container.state.as_ref();
                let runs = now.is_some_and(|state| state.running.is_some());
                let is_over = failed(now);
                (!runs && (is_over || failed(container.last_state.as_ref())))
                    .then(|| (container.name.clone(), !is_over))
            })
            .collect()
    }

    /// Returns the `TraceBuffer`s of other namespaces that the pod may get, or got, its sidecar from.
    fn referenced_elsewhere(&self) -> Vec<ObjectKey> {
        let request =
            InjectRequest::resolve(self.annotation(names::INJECT_KEY), self.namespace.opted_in);
        let named = match request {
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

    fn add_trace_buffers(&mut self, fetched: Fetched<Vec<TraceBuffer>>) {
        // The operator's default image is not part of the hash.
        let defaults = SidecarDefaults::unknown();
        match fetched {
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

    /// Returns the decision of the webhook when the pod was created.
    pub(super) fn injection_status(&self) -> Option<InjectionStatus> {
        from_annotation(self.annotation(names::INJECTION_STATUS_ANNOTATION)?)
    }
}
