//! A pod as the controller remembers it: metadata only.

use super::status::InjectionStatus;
use crate::domain::operator::object_key::ObjectKey;

/// A pod that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSnapshot {
    /// Its name.
    pub key: ObjectKey,
    /// Its UID.
    pub uid: String,
    /// What controls it, such as a `ReplicaSet`.
    pub owner: Option<Owner>,
    /// The value of its annotation `tracebuffer.dev/inject`.
    pub inject: Option<String>,
    /// What was decided for it; `None` if nobody was asked.
    pub status: Option<InjectionStatus>,
    /// The value of its annotation `tracebuffer.dev/limits`.
    pub limits: Option<String>,
    /// Whether it is being deleted.
    pub is_terminating: bool,
}

/// The object that controls another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `ReplicaSet`.
    pub kind: String,
    /// Its name, in the same namespace.
    pub name: String,
    /// Its UID.
    pub uid: String,
}
