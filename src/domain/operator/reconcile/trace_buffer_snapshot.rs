//! A `TraceBuffer` as the controller sees it.

use std::time::Duration;

use super::conditions::Status;
use crate::domain::limits::BufferLimits;
use crate::domain::operator::injection::consent::{
    AllowedNamespaces, CredentialUse, has_consent, may_use_credentials,
};
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::object_key::ObjectKey;

/// A `TraceBuffer` as the controller sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceBufferSnapshot {
    /// Its name.
    pub key: ObjectKey,
    /// Its UID, which tells it from a later one of the same name.
    pub uid: String,
    /// What the API server wants back to notice that a writer is behind.
    pub resource_version: String,
    /// Counts the changes of its spec.
    pub generation: i64,
    /// What its spec asks for; its mistakes, for people, where there are any.
    pub sidecar: Result<DesiredSidecar, String>,
    /// The namespaces whose pods may use it.
    pub allowed_namespaces: AllowedNamespaces,
    /// What its sidecar uses of the namespace it runs in.
    pub credentials: CredentialUse,
    /// The Secrets and `ConfigMap`s that it names.
    pub references: Vec<Reference>,
    /// How owners of outdated pods are restarted; `None` leaves them alone.
    pub rollout: Option<RolloutPolicy>,
    /// The status that it has.
    pub status: Option<Status>,
}

/// What decides whether a running sidecar is as its `TraceBuffer` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredSidecar {
    /// The digest of what only a new pod can take up.
    pub hash: String,
    /// What running sidecars follow.
    pub limits: BufferLimits,
}

/// An object that a `TraceBuffer` names; it is looked for in the namespaces of its pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// What it is.
    pub kind: ReferenceKind,
    /// Its name.
    pub name: String,
    /// The field that names it.
    pub field: String,
}

/// What a reference points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceKind {
    /// A `Secret`.
    Secret,
    /// A `ConfigMap`.
    ConfigMap,
}

/// How fast owners are restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutPolicy {
    /// Most owners restarted at the same time; at least 1.
    pub max_concurrent: usize,
    /// How long to wait after one has completed.
    pub interval: Duration,
}

impl TraceBufferSnapshot {
    /// Returns whether pods of `namespace` may use it.
    #[must_use]
    pub fn allows(&self, namespace: &NamespaceFacts) -> bool {
        self.allowed_namespaces.allows(&self.key.namespace, namespace)
    }

    /// Returns whether it may restart workloads of `namespace`, and their new pods would be given its
    /// sidecar.
    #[must_use]
    pub fn may_restart_in(&self, namespace: &NamespaceFacts) -> bool {
        self.allows(namespace)
            && has_consent(&self.key, namespace)
            && may_use_credentials(&self.key, self.credentials, namespace)
    }
}

impl DesiredSidecar {
    /// Returns the value by which a restarted owner is marked: it differs whenever a pod would be
    /// outdated by the change.
    #[must_use]
    pub fn revision(&self) -> String {
        format!("{}-{}", self.hash, self.limits.max_bytes)
    }
}

impl ReferenceKind {
    /// Returns the kind as Kubernetes writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}
