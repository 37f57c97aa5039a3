//! Which workload a pod is part of.

use std::collections::HashMap;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use kube::api::ObjectMeta;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::call::{Namespaced, call, failed};
use crate::domain::injection::pod_record::{Owner, PodRecord};
use crate::ports::cluster::{ClusterError, Workload};

/// Most owners whose own owner is remembered; then all are forgotten.
const MOST_REMEMBERED: usize = 4096;

/// Finds workloads, and remembers them by what controls the pod.
pub(super) struct Owners {
    client: Client,
    known: Mutex<HashMap<Controlled, Owner>>,
}

/// A namespace, and what controls a pod in it. A pod's author writes the latter, and may make up
/// all of it: the UID alone could be that of another namespace's object.
type Controlled = (String, Owner);

impl Owners {
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    pub(super) async fn workload_of(&self, pod: &PodRecord) -> Result<Workload, ClusterError> {
        let namespace = pod.key.namespace.clone();
        // A static pod's mirror is controlled by its node, which is nobody's workload.
        let Some(owner) = pod.owner.as_ref().filter(|owner| owner.kind != "Node") else {
            return Ok(Workload { namespace, object: itself(pod) });
        };
        let controlled = (namespace.clone(), owner.clone());
        if let Some(known) = self.known.lock().get(&controlled).cloned() {
            return Ok(Workload { namespace, object: known });
        }
        let object = match (group(&owner.api_version), owner.kind.as_str()) {
            ("apps", "ReplicaSet") => self.above::<ReplicaSet>(&namespace, owner).await?,
            ("batch", "Job") => self.above::<Job>(&namespace, owner).await?,
            _ => return Ok(Workload { namespace, object: owner.clone() }),
        };
        let mut known = self.known.lock();
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(controlled, object.clone());
        Ok(Workload { namespace, object })
    }

    /// Returns what controls `owner`, or else itself.
    async fn above<K: Namespaced>(
        &self,
        namespace: &str,
        owner: &Owner,
    ) -> Result<Owner, ClusterError> {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let found = call(api.get_metadata(&owner.name)).await.map_err(|error| {
            let (kind, name) = (&owner.kind, &owner.name);
            failed(&error, || format!("cannot read whose {kind} {namespace}/{name} is"))
        })?;
        if found.metadata.uid.as_ref() != Some(&owner.uid) {
            return Err(ClusterError::Gone);
        }
        Ok(controller(&found.metadata).unwrap_or_else(|| owner.clone()))
    }
}

fn itself(pod: &PodRecord) -> Owner {
    Owner {
        api_version: "v1".into(),
        kind: "Pod".into(),
        name: pod.key.name.clone(),
        uid: pod.uid.clone(),
    }
}

fn controller(metadata: &ObjectMeta) -> Option<Owner> {
    let mut owners = metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true))?.clone();
    let (api_version, kind) = (owner.api_version, owner.kind);
    Some(Owner { api_version, kind, name: owner.name, uid: owner.uid })
}

/// Returns the group of an API version; empty for the core group.
pub(super) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
