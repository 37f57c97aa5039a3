//! Restarting workloads as `kubectl rollout restart` does.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::api::{ObjectMeta, Patch};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use serde_json::json;

use super::owners::api_group;
use super::progress::{ProgressReport, daemon_set, deployment, stateful_set};
use crate::adapters::kubernetes::call::{
    CallError, NamespacedResource, cluster_error, patch_params, with_timeout,
};
use crate::adapters::kubernetes::names::{INJECT_KEY, ROLLOUT_ANNOTATION};
use crate::domain::operator::reconcile::rollout::WorkloadStatus;
use crate::ports::operator::cluster::{ClusterError, Workload};

/// What can be restarted.
#[derive(Clone, Copy)]
enum WorkloadKind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl WorkloadKind {
    fn of(workload: &Workload) -> Option<Self> {
        match (api_group(&workload.object.api_version), workload.object.kind.as_str()) {
            ("apps", "Deployment") => Some(Self::Deployment),
            ("apps", "StatefulSet") => Some(Self::StatefulSet),
            ("apps", "DaemonSet") => Some(Self::DaemonSet),
            _ => None,
        }
    }
}

pub(super) async fn get_workload(
    client: &Client,
    workload: &Workload,
) -> Result<Option<WorkloadStatus>, ClusterError> {
    let Some(kind) = WorkloadKind::of(workload) else { return Ok(None) };
    match kind {
        WorkloadKind::Deployment => {
            let found: Deployment = get_object(client, workload).await?;
            let template = found.spec.as_ref().map(|spec| &spec.template);
            Ok(Some(workload_status(&found.metadata, template, deployment(&found))))
        }
        WorkloadKind::StatefulSet => {
            let found: StatefulSet = get_object(client, workload).await?;
            let template = found.spec.as_ref().map(|spec| &spec.template);
            Ok(Some(workload_status(&found.metadata, template, stateful_set(&found))))
        }
        WorkloadKind::DaemonSet => {
            let found: DaemonSet = get_object(client, workload).await?;
            let template = found.spec.as_ref().map(|spec| &spec.template);
            Ok(Some(workload_status(&found.metadata, template, daemon_set(&found))))
        }
    }
}

async fn get_object<K: NamespacedResource>(
    client: &Client,
    workload: &Workload,
) -> Result<K, ClusterError> {
    let api: Api<K> = Api::namespaced(client.clone(), &workload.namespace);
    let found = with_timeout(api.get(&workload.object.name)).await;
    let found =
        found.map_err(|error| cluster_error(&error, || failure_message("read", workload)))?;
    if found.meta().uid.as_ref() == Some(&workload.object.uid) {
        Ok(found)
    } else {
        Err(ClusterError::NotFound)
    }
}

/// The revision is read from the object first: it stays there when a rollback restores the template.
fn workload_status(
    metadata: &ObjectMeta,
    template: Option<&PodTemplateSpec>,
    report: ProgressReport,
) -> WorkloadStatus {
    let template = template.and_then(|template| template.metadata.as_ref());
    let annotation = |metadata: &ObjectMeta, key| metadata.annotations.as_ref()?.get(key).cloned();
    let of_template = |key| template.and_then(|template| annotation(template, key));
    WorkloadStatus {
        revision: annotation(metadata, ROLLOUT_ANNOTATION)
            .or_else(|| of_template(ROLLOUT_ANNOTATION)),
        progress: report.progress,
        restart_blocker: report.restart_blocker,
        keeps_broken_pods: report.keeps_broken_pods,
        inject: of_template(INJECT_KEY),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
    }
}

pub(super) async fn restart(
    client: &Client,
    workload: &Workload,
    status: &WorkloadStatus,
    revision: &str,
) -> Result<(), ClusterError> {
    let annotations = json!({ ROLLOUT_ANNOTATION: revision });
    let patch = Patch::Merge(json!({
        "metadata": {
            "uid": workload.object.uid,
            "resourceVersion": status.resource_version,
            "annotations": annotations,
        },
        "spec": { "template": { "metadata": { "annotations": annotations } } },
    }));
    let patched = match WorkloadKind::of(workload) {
        None => return Err(ClusterError::NotFound),
        Some(WorkloadKind::Deployment) => send_patch::<Deployment>(client, workload, &patch).await,
        Some(WorkloadKind::StatefulSet) => {
            send_patch::<StatefulSet>(client, workload, &patch).await
        }
        Some(WorkloadKind::DaemonSet) => send_patch::<DaemonSet>(client, workload, &patch).await,
    };
    match patched {
        Err(error) if error.code() == Some(403) => {
            let cannot = failure_message("restart", workload);
            let remedy = "set rollouts.enabled of the chart, or the TraceBuffer's rollout.strategy \
                          to None";
            Err(ClusterError::Failed(format!("{cannot}: {error}; {remedy}")))
        }
        patched => {
            patched.map_err(|error| cluster_error(&error, || failure_message("restart", workload)))
        }
    }
}

async fn send_patch<K: NamespacedResource>(
    client: &Client,
    workload: &Workload,
    patch: &Patch<serde_json::Value>,
) -> Result<(), CallError> {
    let api: Api<PartialObjectMeta<K>> = Api::namespaced(client.clone(), &workload.namespace);
    with_timeout(api.patch(&workload.object.name, &patch_params(), patch)).await.map(drop)
}

fn failure_message(verb: &str, workload: &Workload) -> String {
    let Workload { namespace, object } = workload;
    format!("cannot {verb} {} {namespace}/{}", object.kind, object.name)
}
