//! Which workload a pod is part of.

use std::collections::HashMap;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use kube::api::ObjectMeta;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::call::{NamespacedResource, cluster_error, with_timeout};
use crate::domain::operator::injection::pod_snapshot::{Owner, PodSnapshot};
use crate::ports::operator::cluster::{ClusterError, Workload};

/// Most owners whose own owner is remembered; then all are forgotten.
const MAX_CACHED_OWNERS: usize = 4096;

/// Finds workloads, and remembers them by what controls the pod.
pub(super) struct WorkloadResolver {
    client: Client,
    cache: Mutex<HashMap<CacheKey, Owner>>,
}

/// A namespace, and what controls a pod in it. A pod's author writes the latter, and may make up
/// all of it: the UID alone could be that of another namespace's object.
type CacheKey = (String, Owner);

impl WorkloadResolver {
    pub(super) fn new(client: Client) -> Self {
        Self { client, cache: Mutex::default() }
    }

    pub(super) async fn workload_of(&self, pod: &PodSnapshot) -> Result<Workload, ClusterError> {
        let namespace = pod.key.namespace.clone();
        // A static pod's mirror is controlled by its node, which is nobody's workload.
        let Some(owner) = pod.owner.as_ref().filter(|owner| owner.kind != "Node") else {
            return Ok(Workload { namespace, object: pod_as_owner(pod) });
        };
        let controlled = (namespace.clone(), owner.clone());
        if let Some(known) = self.cache.lock().get(&controlled).cloned() {
            return Ok(Workload { namespace, object: known });
        }
        let object = match (api_group(&owner.api_version), owner.kind.as_str()) {
            ("apps", "ReplicaSet") => {
                self.controller_or_self::<ReplicaSet>(&namespace, owner).await?
            }
            ("batch", "Job") => self.controller_or_self::<Job>(&namespace, owner).await?,
            _ => return Ok(Workload { namespace, object: owner.clone() }),
        };
        let mut known = self.cache.lock();
        if known.len() >= MAX_CACHED_OWNERS {
            known.clear();
        }
        known.insert(controlled, object.clone());
        Ok(Workload { namespace, object })
    }

    /// Returns what controls `owner`, or else itself.
    async fn controller_or_self<K: NamespacedResource>(
        &self,
        namespace: &str,
        owner: &Owner,
    ) -> Result<Owner, ClusterError> {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let found = with_timeout(api.get_metadata(&owner.name)).await.map_err(|error| {
            let (kind, name) = (&owner.kind, &owner.name);
            cluster_error(&error, || format!("cannot read whose {kind} {namespace}/{name} is"))
        })?;
        if found.metadata.uid.as_ref() != Some(&owner.uid) {
            return Err(ClusterError::NotFound);
        }
        Ok(controller_of(&found.metadata).unwrap_or_else(|| owner.clone()))
    }
}

fn pod_as_owner(pod: &PodSnapshot) -> Owner {
    Owner {
        api_version: "v1".into(),
        kind: "Pod".into(),
        name: pod.key.name.clone(),
        uid: pod.uid.clone(),
    }
}

fn controller_of(metadata: &ObjectMeta) -> Option<Owner> {
    let mut owners = metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true))?.clone();
    let (api_version, kind) = (owner.api_version, owner.kind);
    Some(Owner { api_version, kind, name: owner.name, uid: owner.uid })
}

/// Returns the group of an API version; empty for the core group.
pub(super) fn api_group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
