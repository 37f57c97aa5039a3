//! The cluster as reconciling needs it: what is known from watches, and reads and writes that fail
//! where what they are based on is behind.

mod call;
mod events;
mod owners;
mod progress;
mod status;
mod trace_buffer_snapshot;
mod workloads;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use serde_json::json;

use self::call::{cluster_error, with_timeout};
use self::events::EventPublisher;
use self::owners::WorkloadResolver;
use super::names::{FIELD_MANAGER, LIMITS};
use super::resource::TraceBuffer;
use super::watch::{PodCache, TraceBufferCache};
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::trace_buffer_view::TraceBufferLister;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::conditions::Status;
use crate::domain::operator::reconcile::rollout::WorkloadStatus;
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    Reference, ReferenceKind, TraceBufferSnapshot,
};
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::ports::operator::cluster::{Cluster, ClusterError, LookupOutcome, Workload};

/// A cluster behind an API server.
pub struct KubeCluster {
    client: Client,
    trace_buffers: Arc<TraceBufferCache>,
    pods: Arc<PodCache>,
    may_read_references: bool,
    owners: WorkloadResolver,
    events: EventPublisher,
}

impl KubeCluster {
    /// Creates the adapter over caches that others keep running.
    ///
    /// `may_look_up` says whether the operator may read the Secrets and `ConfigMap`s that a
    /// `TraceBuffer` names; `pod_name` is who reports events.
    #[must_use]
    pub fn new(
        client: Client,
        trace_buffers: Arc<TraceBufferCache>,
        pods: Arc<PodCache>,
        may_look_up: bool,
        pod_name: &str,
    ) -> Self {
        Self {
            events: EventPublisher::new(client.clone(), pod_name),
            owners: WorkloadResolver::new(client.clone()),
            client,
            trace_buffers,
            pods,
            may_read_references: may_look_up,
        }
    }
}

/// How tracebuffer writes.
fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

impl Cluster for KubeCluster {
    fn is_synced(&self) -> bool {
        self.trace_buffers.is_synced() && self.pods.is_synced()
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

    /// Insists on the limits that were seen, rather than on the version: a pod's status changes all
    /// the time, and others' annotations are none of our business.
    async fn set_limits(&self, pod: &PodSnapshot, text: &str) -> Result<(), ClusterError> {
        let member = format!("/metadata/annotations/{}", LIMITS.replace('/', "~1"));
        let mut steps = vec![json!({ "op": "test", "path": "/metadata/uid", "value": pod.uid })];
        if let Some(seen) = &pod.limits {
            steps.push(json!({ "op": "test", "path": member, "value": seen }));
        }
        steps.push(json!({ "op": "add", "path": member, "value": text }));
        let ObjectKey { namespace, name } = &pod.key;
        let what = || format!("cannot write the limits of pod {namespace}/{name}");
        let patch = serde_json::from_value(json!(steps))
            .map_err(|error| ClusterError::Failed(format!("{}: {error}", what())))?;
        let api: Api<PartialObjectMeta<Pod>> = Api::namespaced(self.client.clone(), namespace);
        let patched =
            with_timeout(api.patch(name, &patch_params(), &Patch::Json::<()>(patch))).await;
        match patched {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(422) => Err(ClusterError::Conflict),
            Err(error) => Err(cluster_error(&error, what)),
        }
    }

    async fn write_status(
        &self,
        declared: &TraceBufferSnapshot,
        new: &Status,
    ) -> Result<(), ClusterError> {
        let ObjectKey { namespace, name } = &declared.key;
        let created = self.trace_buffers.entry(&declared.key);
        let created = created.and_then(|entry| entry.metadata.creation_timestamp.clone());
        // An object whose status is not known gets the same times again and again, or each write
        // would be a change.
        let now = created.filter(|_| declared.status.is_none()).map(|time| time.0);
        let patch = json!({
            "metadata": { "uid": declared.uid, "resourceVersion": declared.resource_version },
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
        seen: &WorkloadStatus,
        marker: &str,
    ) -> Result<(), ClusterError> {
        workloads::restart(&self.client, workload, seen, marker).await
    }

    async fn publish_event(
        &self,
        workload: &Workload,
        notice: &WorkloadEvent,
    ) -> Result<(), ClusterError> {
        self.events.publish(workload, notice).await
    }
}
