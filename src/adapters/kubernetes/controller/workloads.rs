//! Restarting workloads as `kubectl rollout restart` does.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::api::{ObjectMeta, Patch};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use serde_json::json;

use super::call::{CallError, Namespaced, call, failed};
use super::owners::group;
use super::progress::{daemon_set, deployment, stateful_set};
use super::writing;
use crate::adapters::kubernetes::names::{INJECT, ROLLOUT};
use crate::domain::operating::rollout::{Progress, Seen};
use crate::ports::cluster::{ClusterError, Workload};

/// What can be restarted.
#[derive(Clone, Copy)]
enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl Kind {
    fn of(workload: &Workload) -> Option<Self> {
        match (group(&workload.object.api_version), workload.object.kind.as_str()) {
            ("apps", "Deployment") => Some(Self::Deployment),
            ("apps", "StatefulSet") => Some(Self::StatefulSet),
            ("apps", "DaemonSet") => Some(Self::DaemonSet),
            _ => None,
        }
    }
}

/// A progress, and why a restart would do nothing.
pub(super) type Found = (Progress, Option<&'static str>);

pub(super) async fn see(
    client: &Client,
    workload: &Workload,
) -> Result<Option<Seen>, ClusterError> {
    let Some(kind) = Kind::of(workload) else { return Ok(None) };
    match kind {
        Kind::Deployment => {
            let found: Deployment = read(client, workload).await?;
            let template = found.spec.as_ref().map(|spec| &spec.template);
            Ok(Some(seen(&found.metadata, template, deployment(&found))))
        }
        Kind::StatefulSet => {
            let found: StatefulSet = read(client, workload).await?;
            let template = found.spec.as_ref().map(|spec| &spec.template);
            Ok(Some(seen(&found.metadata, template, stateful_set(&found))))
        }
        Kind::DaemonSet => {
            let found: DaemonSet = read(client, workload).await?;
            let template = found.spec.as_ref().map(|spec| &spec.template);
            Ok(Some(seen(&found.metadata, template, daemon_set(&found))))
        }
    }
}

async fn read<K: Namespaced>(client: &Client, workload: &Workload) -> Result<K, ClusterError> {
    let api: Api<K> = Api::namespaced(client.clone(), &workload.namespace);
    let found = call(api.get(&workload.object.name)).await;
    let found = found.map_err(|error| failed(&error, || cannot("read", workload)))?;
    if found.meta().uid.as_ref() == Some(&workload.object.uid) {
        Ok(found)
    } else {
        Err(ClusterError::Gone)
    }
}

/// The marker is on the object, too: it stays there when the template's is taken back.
fn seen(
    metadata: &ObjectMeta,
    template: Option<&PodTemplateSpec>,
    (progress, obstacle): Found,
) -> Seen {
    let template = template.and_then(|template| template.metadata.as_ref());
    let annotation = |metadata: &ObjectMeta, key| metadata.annotations.as_ref()?.get(key).cloned();
    let of_template = |key| template.and_then(|template| annotation(template, key));
    Seen {
        marker: annotation(metadata, ROLLOUT).or_else(|| of_template(ROLLOUT)),
        progress,
        obstacle,
        inject: of_template(INJECT),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
    }
}

pub(super) async fn restart(
    client: &Client,
    workload: &Workload,
    seen: &Seen,
    marker: &str,
) -> Result<(), ClusterError> {
    let annotations = json!({ ROLLOUT: marker });
    let patch = Patch::Merge(json!({
        "metadata": {
            "uid": workload.object.uid,
            "resourceVersion": seen.resource_version,
            "annotations": annotations,
        },
        "spec": { "template": { "metadata": { "annotations": annotations } } },
    }));
    let patched = match Kind::of(workload) {
        None => return Err(ClusterError::Gone),
        Some(Kind::Deployment) => write::<Deployment>(client, workload, &patch).await,
        Some(Kind::StatefulSet) => write::<StatefulSet>(client, workload, &patch).await,
        Some(Kind::DaemonSet) => write::<DaemonSet>(client, workload, &patch).await,
    };
    match patched {
        Err(error) if error.code() == Some(403) => {
            let cannot = cannot("restart", workload);
            let remedy = "set rollouts.enabled of the chart, or the TraceBuffer's rollout.strategy \
                          to None";
            Err(ClusterError::Failed(format!("{cannot}: {error}; {remedy}")))
        }
        patched => patched.map_err(|error| failed(&error, || cannot("restart", workload))),
    }
}

async fn write<K: Namespaced>(
    client: &Client,
    workload: &Workload,
    patch: &Patch<serde_json::Value>,
) -> Result<(), CallError> {
    let api: Api<PartialObjectMeta<K>> = Api::namespaced(client.clone(), &workload.namespace);
    call(api.patch(&workload.object.name, &writing(), patch)).await.map(drop)
}

fn cannot(verb: &str, workload: &Workload) -> String {
    let Workload { namespace, object } = workload;
    format!("cannot {verb} {} {namespace}/{}", object.kind, object.name)
}
