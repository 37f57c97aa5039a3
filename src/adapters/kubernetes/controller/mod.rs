//! The cluster as the reconciler needs it: what the watches know, and reads and writes that fail if
//! they are based on an outdated state.

mod events;
mod owners;
mod progress;
mod status;
mod trace_buffer_snapshot;
mod workloads;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::Patch;
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use serde_json::json;

use self::events::EventPublisher;
use self::owners::WorkloadResolver;
use super::call::{CallError, cluster_error, patch_params, with_timeout};
use super::names::LIMITS_ANNOTATION;
use super::resource::TraceBuffer;
use super::watch::{PodCache, TraceBufferCache, WebhookWatch};
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::trace_buffer_view::TraceBufferLister;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::rollout::WorkloadStatus;
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    Reference, ReferenceKind, TraceBufferSnapshot,
};
use crate::domain::operator::reconcile::trace_buffer_status::Status;
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::ports::operator::cluster::{Cluster, ClusterError, LookupOutcome, Workload};

/// What the operator knows of a cluster, from watches that run elsewhere.
pub struct KubeCaches {
    /// The `TraceBuffer`s.
    pub trace_buffers: Arc<TraceBufferCache>,
    /// The pods.
    pub pods: Arc<PodCache>,
    /// Whether the webhook is called.
    pub webhook: Arc<WebhookWatch>,
}

/// A cluster behind an API server.
pub struct KubeCluster {
    client: Client,
    trace_buffers: Arc<TraceBufferCache>,
    pods: Arc<PodCache>,
    webhook: Arc<WebhookWatch>,
    may_read_references: bool,
    owners: WorkloadResolver,
    events: EventPublisher,
}

impl KubeCluster {
    /// Creates the adapter over caches.
    ///
    /// `may_read_references` is whether the operator may read the Secrets and `ConfigMap`s that a
    /// `TraceBuffer` names; `pod_name` is the reporting instance of events.
    #[must_use]
    pub fn new(
        client: Client,
        caches: KubeCaches,
        may_read_references: bool,
        pod_name: &str,
    ) -> Self {
        Self {
            events: EventPublisher::new(client.clone(), pod_name),
            owners: WorkloadResolver::new(client.clone()),
            client,
            trace_buffers: caches.trace_buffers,
            pods: caches.pods,
            webhook: caches.webhook,
            may_read_references,
        }
    }
}

impl KubeCluster {
    /// Returns whether the pod still has the UID and the limits of the snapshot.
    ///
    /// The API server answers 422 both to a patch whose `test` fails and to one that an admission
    /// policy denies; only the pod itself shows which it was.
    async fn is_unchanged(&self, pod: &PodSnapshot) -> Result<bool, CallError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.key.namespace);
        let metadata = with_timeout(api.get_metadata(&pod.key.name)).await?.metadata;
        let limits =
            metadata.annotations.and_then(|mut annotations| annotations.remove(LIMITS_ANNOTATION));
        Ok(metadata.uid.as_ref() == Some(&pod.uid) && limits == pod.limits)
    }
}

impl Cluster for KubeCluster {
    fn is_synced(&self) -> bool {
        self.trace_buffers.is_synced() && self.pods.is_synced()
    }

    fn webhook_problem(&self) -> Option<String> {
        self.webhook.problem()
    }

    fn trace_buffer_keys(&self) -> Vec<ObjectKey> {
        self.trace_buffers.all().iter().map(|entry| entry.view.key.clone()).collect()
    }

    fn names_in(&self, namespace: &str) -> Vec<String> {
        TraceBufferLister::names_in(&*self.trace_buffers, namespace)
    }

    fn trace_buffer(&self, key: &ObjectKey) -> Option<Arc<TraceBufferSnapshot>> {
        self.trace_buffers.entry(key).map(|entry| Arc::new(trace_buffer_snapshot::snapshot(&entry)))
    }

    async fn look_up(
        &self,
        namespace: &str,
        what: &Reference,
    ) -> Result<LookupOutcome, ClusterError> {
        if !self.may_read_references {
            return Ok(LookupOutcome::Forbidden);
        }
        let client = self.client.clone();
        let found = match what.kind {
            ReferenceKind::Secret => {
                let api: Api<Secret> = Api::namespaced(client, namespace);
                with_timeout(api.get_metadata_opt(&what.name)).await.map(|found| found.is_some())
            }
            ReferenceKind::ConfigMap => {
                let api: Api<ConfigMap> = Api::namespaced(client, namespace);
                with_timeout(api.get_metadata_opt(&what.name)).await.map(|found| found.is_some())
            }
        };
        match found {
            Ok(true) => Ok(LookupOutcome::Found),
            Ok(false) => Ok(LookupOutcome::NotFound),
            Err(error) if error.code() == Some(403) => Ok(LookupOutcome::Forbidden),
            Err(error) => {
                let Reference { kind, name, .. } = what;
                let kind = kind.as_str();
                Err(cluster_error(&error, || format!("cannot look for {kind} {namespace}/{name}")))
            }
        }
    }

    async fn workload_of(&self, pod: &PodSnapshot) -> Result<Workload, ClusterError> {
        self.owners.workload_of(pod).await
    }

    /// The patch tests the UID and the limits rather than the resource version, which changes with
    /// every update of the pod's status or of another annotation.
    async fn set_limits(&self, pod: &PodSnapshot, text: &str) -> Result<(), ClusterError> {
        let member = format!("/metadata/annotations/{}", LIMITS_ANNOTATION.replace('/', "~1"));
        let mut operations =
            vec![json!({ "op": "test", "path": "/metadata/uid", "value": pod.uid })];
        if let Some(seen) = &pod.limits {
            operations.push(json!({ "op": "test", "path": member, "value": seen }));
        }
        operations.push(json!({ "op": "add", "path": member, "value": text }));
        let ObjectKey { namespace, name } = &pod.key;
        let what = || format!("cannot write the limits of pod {namespace}/{name}");
        let patch = serde_json::from_value(json!(operations))
            .map_err(|error| ClusterError::Failed(format!("{}: {error}", what())))?;
        let api: Api<PartialObjectMeta<Pod>> = Api::namespaced(self.client.clone(), namespace);
        let patched =
            with_timeout(api.patch(name, &patch_params(), &Patch::Json::<()>(patch))).await;
        match patched {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(422) => match self.is_unchanged(pod).await {
                Ok(false) => Err(ClusterError::Conflict),
                Err(unread) if unread.code() == Some(404) => Err(ClusterError::NotFound),
                Ok(true) | Err(_) => Err(cluster_error(&error, what)),
            },
            Err(error) => Err(cluster_error(&error, what)),
        }
    }

    async fn write_status(
        &self,
        snapshot: &TraceBufferSnapshot,
        new: &Status,
    ) -> Result<(), ClusterError> {
        let ObjectKey { namespace, name } = &snapshot.key;
        let created = self.trace_buffers.entry(&snapshot.key);
        let created = created.and_then(|entry| entry.metadata.creation_timestamp.clone());
        // Without a known status the times come from the object, so that every attempt writes the
        // same: a different time would be a change of its own.
        let now = created.filter(|_| snapshot.status.is_none()).map(|time| time.0);
        let patch = json!({
            "metadata": { "uid": snapshot.uid, "resourceVersion": snapshot.resource_version },
            "status": status::to_resource(new, now.unwrap_or_else(jiff::Timestamp::now)),
        });
        let api: Api<PartialObjectMeta<TraceBuffer>> =
            Api::namespaced(self.client.clone(), namespace);
        let patched =
            with_timeout(api.patch_status(name, &patch_params(), &Patch::Merge(patch))).await;
        patched.map(drop).map_err(|error| {
            cluster_error(&error, || {
                format!("cannot write the status of TraceBuffer {namespace}/{name}")
            })
        })
    }

    async fn get_workload(
        &self,
        workload: &Workload,
    ) -> Result<Option<WorkloadStatus>, ClusterError> {
        workloads::get_workload(&self.client, workload).await
    }

    async fn restart(
        &self,
        workload: &Workload,
        status: &WorkloadStatus,
        revision: &str,
    ) -> Result<(), ClusterError> {
        workloads::restart(&self.client, workload, status, revision).await
    }

    async fn publish_event(
        &self,
        workload: &Workload,
        event: &WorkloadEvent,
    ) -> Result<(), ClusterError> {
        self.events.publish(workload, event).await
    }
}
