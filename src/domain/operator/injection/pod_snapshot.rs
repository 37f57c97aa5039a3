//! A pod as the controller caches it: parts of its metadata.

use super::status::InjectionStatus;
use crate::domain::operator::object_key::ObjectKey;

/// A pod that has not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSnapshot {
    /// Its name.
    pub key: ObjectKey,
    /// Its UID.
    pub uid: String,
    /// The object that controls it, such as a `ReplicaSet`.
    pub owner: Option<Owner>,
    /// The value of its annotation `tracebuffer.dev/inject`.
    pub inject: Option<String>,
    /// The decision of the webhook; `None` if the webhook was not called.
    pub status: Option<InjectionStatus>,
    /// The value of its annotation `tracebuffer.dev/limits`.
    pub limits: Option<String>,
    /// Whether it is being deleted.
    pub is_terminating: bool,
}

impl PodSnapshot {
    /// Returns the UID of its owner, or its own if it has none: pods with the same one are told about
    /// together.
    #[must_use]
    pub fn owner_uid(&self) -> &str {
        self.owner.as_ref().map_or(&self.uid, |owner| &owner.uid)
    }
}

/// The object that controls another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The API version, such as `apps/v1`.
    pub api_version: String,
    /// The kind, such as `ReplicaSet`.
    pub kind: String,
    /// The name, in the namespace of the pod.
    pub name: String,
    /// Its UID.
    pub uid: String,
}
