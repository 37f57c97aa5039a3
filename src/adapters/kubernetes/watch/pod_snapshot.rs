//! Reduces the metadata of a pod to what the operator reads.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;

use super::meta::key_of;
use crate::adapters::kubernetes::names::{
    INJECT_KEY, INJECTED_LABEL, INJECTION_STATUS_ANNOTATION, LIMITS_ANNOTATION,
};
use crate::adapters::kubernetes::pod::status::from_annotation;
use crate::domain::operator::injection::pod_snapshot::{Owner, PodSnapshot};

/// Maximum bytes of a DNS label, as which namespaces and the kinds of resources are named; UIDs are
/// shorter.
const MAX_LABEL_BYTES: usize = 63;
/// Maximum bytes of the name of an object.
const MAX_NAME_BYTES: usize = 253;
/// Maximum bytes of `<group>/<version>`.
const MAX_API_VERSION_BYTES: usize = MAX_NAME_BYTES + 1 + MAX_LABEL_BYTES;
/// One byte more than the longest valid annotation, `<namespace>/<name>`.
const MAX_INJECT_BYTES: usize = MAX_LABEL_BYTES + 1 + MAX_NAME_BYTES + 1;

/// Returns whether the pod itself has an annotation or a label of tracebuffer.
pub(super) fn is_marked(metadata: &ObjectMeta) -> bool {
    let has = |map: &Option<BTreeMap<String, String>>, key| {
        map.as_ref().is_some_and(|map| map.contains_key(key))
    };
    has(&metadata.annotations, INJECT_KEY)
        || has(&metadata.annotations, INJECTION_STATUS_ANNOTATION)
        || has(&metadata.labels, INJECTED_LABEL)
}

/// Returns whether the pod is tracked only because of its namespace.
pub(super) fn is_namespace_only(pod: &PodSnapshot) -> bool {
    pod.inject.is_none() && pod.status.is_none() && pod.limits.is_none()
}

/// Returns the part of the metadata that the operator reads.
pub(in crate::adapters::kubernetes) fn pod_snapshot(mut metadata: ObjectMeta) -> PodSnapshot {
    let key = key_of(&metadata);
    let mut annotations = metadata.annotations.take().unwrap_or_default();
    let owners = metadata.owner_references.take().unwrap_or_default();
    let controller = owners.into_iter().find(|owner| owner.controller == Some(true));
    PodSnapshot {
        key,
        uid: metadata.uid.unwrap_or_default(),
        owner: controller.and_then(owner_of),
        inject: annotations.remove(INJECT_KEY).map(shorten_inject),
        status: annotations
            .remove(INJECTION_STATUS_ANNOTATION)
            .as_deref()
            .and_then(from_annotation),
        limits: annotations.remove(LIMITS_ANNOTATION),
        is_terminating: metadata.deletion_timestamp.is_some(),
    }
}

/// Returns the owner, unless one of its fields is longer than that of any existing object: the API
/// server does not check the length of owner references, and they become keys of events.
fn owner_of(owner: OwnerReference) -> Option<Owner> {
    let OwnerReference { api_version, kind, name, uid, .. } = owner;
    let is_valid = api_version.len() <= MAX_API_VERSION_BYTES
        && kind.len() <= MAX_LABEL_BYTES
        && name.len() <= MAX_NAME_BYTES
        && uid.len() <= MAX_LABEL_BYTES;
    is_valid.then_some(Owner { api_version, kind, name, uid })
}

/// Cuts a value that is too long to be valid; what remains is still too long to be valid.
fn shorten_inject(value: String) -> String {
    if value.len() <= MAX_INJECT_BYTES {
        return value;
    }
    value.chars().take(MAX_INJECT_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::operator::injection::request::InjectRequest;

    #[test]
    fn a_long_annotation_is_cut_and_stays_invalid() {
        for value in ["a".repeat(10_000), format!("shop/{}", "é".repeat(10_000))] {
            let short = shorten_inject(value);

            assert!(short.len() <= 2 * MAX_INJECT_BYTES);
            assert!(InjectRequest::parse(&short).is_err());
        }
    }
}
