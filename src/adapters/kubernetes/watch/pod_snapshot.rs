//! A pod's metadata, made small.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;

use super::meta::key_of;
use crate::adapters::kubernetes::names::{INJECT, INJECTED, LIMITS, STATUS};
use crate::adapters::kubernetes::pod::status::from_annotation;
use crate::domain::operator::injection::pod_snapshot::{Owner, PodSnapshot};

/// Returns whether the pod itself says something about a sidecar.
pub(super) fn is_marked(metadata: &ObjectMeta) -> bool {
    let has = |map: &Option<BTreeMap<String, String>>, key| {
        map.as_ref().is_some_and(|map| map.contains_key(key))
    };
    has(&metadata.annotations, INJECT)
        || has(&metadata.annotations, STATUS)
        || has(&metadata.labels, INJECTED)
}

/// Returns whether the pod is of interest only for its namespace.
pub(super) fn is_namespace_only(pod: &PodSnapshot) -> bool {
    pod.inject.is_none() && pod.status.is_none() && pod.limits.is_none()
}

/// Keeps what the controller looks at; all else goes.
pub(in crate::adapters::kubernetes) fn pod_snapshot(mut metadata: ObjectMeta) -> PodSnapshot {
    let key = key_of(&metadata);
    let mut annotations = metadata.annotations.take().unwrap_or_default();
    let owners = metadata.owner_references.take().unwrap_or_default();
    let controller = owners.into_iter().find(|owner| owner.controller == Some(true));
    PodSnapshot {
        key,
        uid: metadata.uid.unwrap_or_default(),
        owner: controller.map(owner_of),
        inject: annotations.remove(INJECT),
        status: annotations.remove(STATUS).as_deref().and_then(from_annotation),
        limits: annotations.remove(LIMITS),
        is_terminating: metadata.deletion_timestamp.is_some(),
    }
}

fn owner_of(owner: OwnerReference) -> Owner {
    let OwnerReference { api_version, kind, name, uid, .. } = owner;
    Owner { api_version, kind, name, uid }
}
