//! Finds the workload that a pod belongs to.

use std::collections::HashMap;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use kube::api::ObjectMeta;
use kube::{Api, Client};
use parking_lot::Mutex;

use crate::adapters::kubernetes::call::{NamespacedResource, cluster_error, with_timeout};
use crate::domain::operator::injection::pod_snapshot::{Owner, PodSnapshot};
use crate::ports::operator::cluster::{ClusterError, Workload};

/// Maximum number of cached owners; the cache is emptied when it is full.
const MAX_CACHED_OWNERS: usize = 4096;

/// Finds workloads, and caches them by the pod's controller.
pub(super) struct WorkloadResolver {
    client: Client,
    cache: Mutex<HashMap<CacheKey, Owner>>,
}

/// A namespace, and the controller of a pod in it. Whoever creates a pod chooses its owner reference
/// freely: the UID alone could be that of an object in another namespace.
type CacheKey = (String, Owner);

impl WorkloadResolver {
    pub(super) fn new(client: Client) -> Self {
        Self { client, cache: Mutex::default() }
    }

    pub(super) async fn workload_of(&self, pod: &PodSnapshot) -> Result<Workload, ClusterError> {
        let namespace = pod.key.namespace.clone();
        // The controller of a static pod's mirror is its node, which is no workload.
        let Some(owner) = pod.owner.as_ref().filter(|owner| owner.kind != "Node") else {
            return Ok(Workload { namespace, object: pod_as_owner(pod) });
        };
        let key = (namespace.clone(), owner.clone());
        if let Some(object) = self.cache.lock().get(&key).cloned() {
            return Ok(Workload { namespace, object });
        }
        let object = match (api_group(&owner.api_version), owner.kind.as_str()) {
            ("apps", "ReplicaSet") => {
                self.controller_or_self::<ReplicaSet>(&namespace, owner).await?
            }
            ("batch", "Job") => self.controller_or_self::<Job>(&namespace, owner).await?,
            _ => return Ok(Workload { namespace, object: owner.clone() }),
        };
        let mut cache = self.cache.lock();
        if cache.len() >= MAX_CACHED_OWNERS {
            cache.clear();
        }
        cache.insert(key, object.clone());
        Ok(Workload { namespace, object })
    }

    /// Returns the controller of `owner`, or `owner` itself if it has none.
    async fn controller_or_self<K: NamespacedResource>(
        &self,
        namespace: &str,
        owner: &Owner,
    ) -> Result<Owner, ClusterError> {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let found = with_timeout(api.get_metadata(&owner.name)).await.map_err(|error| {
            let (kind, name) = (&owner.kind, &owner.name);
            cluster_error(&error, || format!("cannot read the owner of {kind} {namespace}/{name}"))
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
