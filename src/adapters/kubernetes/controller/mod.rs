//! The cluster as reconciling needs it: what is known from watches, and reads and writes that fail
//! where what they are based on is behind.

mod call;
mod declared;
mod events;
mod owners;
mod progress;
mod status;
mod workloads;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use serde_json::json;

use self::call::{call, failed};
use self::events::Events;
use self::owners::Owners;
use super::names::{FIELD_MANAGER, LIMITS};
use super::resource::TraceBuffer;
use super::sidecar::{SidecarLimits, limits_text};
use super::watch::{PodIndex, TraceBufferCache};
use crate::domain::injection::candidate::{ObjectKey, TraceBuffers};
use crate::domain::injection::pod_record::PodRecord;
use crate::domain::operating::conditions::Status;
use crate::domain::operating::declared::{Declared, Reference, ReferenceKind, RunningLimits};
use crate::domain::operating::notice::Notice;
use crate::domain::operating::rollout::Seen;
use crate::ports::cluster::{Cluster, ClusterError, Lookup, Workload};

/// A cluster behind an API server.
pub struct KubeCluster {
    client: Client,
    trace_buffers: Arc<TraceBufferCache>,
    pods: Arc<PodIndex>,
    may_look_up: bool,
    owners: Owners,
    events: Events,
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
        pods: Arc<PodIndex>,
        may_look_up: bool,
        pod_name: &str,
    ) -> Self {
        Self {
            events: Events::new(client.clone(), pod_name),
            owners: Owners::new(client.clone()),
            client,
            trace_buffers,
            pods,
            may_look_up,
        }
    }
}

/// How tracebuffer writes.
fn writing() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

impl Cluster for KubeCluster {
    fn is_synced(&self) -> bool {
        self.trace_buffers.is_synced() && self.pods.is_synced()
    }

    fn trace_buffers(&self) -> Vec<ObjectKey> {
        self.trace_buffers.all().iter().map(|entry| entry.candidate.key.clone()).collect()
    }

    fn names_in(&self, namespace: &str) -> Vec<String> {
        TraceBuffers::names_in(&*self.trace_buffers, namespace)
    }

    fn declared(&self, key: &ObjectKey) -> Option<Arc<Declared>> {
        self.trace_buffers.entry(key).map(|entry| Arc::new(declared::declared(&entry)))
    }

    fn limits_text(&self, limits: &RunningLimits) -> String {
        let RunningLimits { max_spans, max_bytes, max_age_ms } = *limits;
        limits_text(&SidecarLimits { max_spans, max_bytes, max_age_ms })
    }

    async fn look_up(&self, namespace: &str, what: &Reference) -> Result<Lookup, ClusterError> {
        if !self.may_look_up {
            return Ok(Lookup::NotAllowed);
        }
        let client = self.client.clone();
        let found = match what.kind {
            ReferenceKind::Secret => {
                let api: Api<Secret> = Api::namespaced(client, namespace);
                call(api.get_metadata_opt(&what.name)).await.map(|found| found.is_some())
            }
            ReferenceKind::ConfigMap => {
                let api: Api<ConfigMap> = Api::namespaced(client, namespace);
                call(api.get_metadata_opt(&what.name)).await.map(|found| found.is_some())
            }
        };
        match found {
            Ok(true) => Ok(Lookup::Found),
            Ok(false) => Ok(Lookup::Absent),
            Err(error) if error.code() == Some(403) => Ok(Lookup::NotAllowed),
            Err(error) => {
                let Reference { kind, name, .. } = what;
                let kind = kind.as_str();
                Err(failed(&error, || format!("cannot look for {kind} {namespace}/{name}")))
            }
        }
    }

    async fn workload_of(&self, pod: &PodRecord) -> Result<Workload, ClusterError> {
        self.owners.workload_of(pod).await
    }

    /// Insists on the limits that were seen, rather than on the version: a pod's status changes all
    /// the time, and others' annotations are none of our business.
    async fn set_limits(&self, pod: &PodRecord, text: &str) -> Result<(), ClusterError> {
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
        let patched = call(api.patch(name, &writing(), &Patch::Json::<()>(patch))).await;
        match patched {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(422) => Err(ClusterError::Conflict),
            Err(error) => Err(failed(&error, what)),
        }
    }

    async fn write_status(&self, declared: &Declared, new: &Status) -> Result<(), ClusterError> {
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
        let patched = call(api.patch_status(name, &writing(), &Patch::Merge(patch))).await;
        patched.map(drop).map_err(|error| {
            failed(&error, || format!("cannot write the status of TraceBuffer {namespace}/{name}"))
        })
    }

    async fn see(&self, workload: &Workload) -> Result<Option<Seen>, ClusterError> {
        workloads::see(&self.client, workload).await
    }

    async fn restart(
        &self,
        workload: &Workload,
        seen: &Seen,
        marker: &str,
    ) -> Result<(), ClusterError> {
        workloads::restart(&self.client, workload, seen, marker).await
    }

    async fn tell(&self, workload: &Workload, notice: &Notice) -> Result<(), ClusterError> {
        self.events.tell(workload, notice).await
    }
}
