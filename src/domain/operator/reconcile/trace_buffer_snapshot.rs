//! A `TraceBuffer` as the reconciler reads it.

use std::time::Duration;

use super::trace_buffer_status::Status;
use crate::domain::limits::BufferLimits;
use crate::domain::operator::injection::consent::{
    AllowedNamespaces, CredentialUse, has_consent, may_use_credentials,
};
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::object_key::ObjectKey;

/// A `TraceBuffer` as the reconciler reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceBufferSnapshot {
    /// The namespace and the name.
    pub key: ObjectKey,
    /// The UID, which differs for a later object of the same name.
    pub uid: String,
    /// The resource version; the API server rejects a write that is based on an older one.
    pub resource_version: String,
    /// The generation, which increases with each change of the spec.
    pub generation: i64,
    /// The sidecar that the spec describes, or the errors of the spec in human-readable form.
    pub sidecar: Result<DesiredSidecar, String>,
    /// The namespaces whose pods may use this `TraceBuffer`.
    pub allowed_namespaces: AllowedNamespaces,
    /// The credentials that the sidecar uses from the namespace it runs in.
    pub credentials: CredentialUse,
    /// The Secrets and `ConfigMap`s that the spec refers to.
    pub references: Vec<Reference>,
    /// How owners of outdated pods are restarted; `None` means never.
    pub rollout: Option<RolloutPolicy>,
    /// The current status of the object.
    pub status: Option<Status>,
}

/// The sidecar that a `TraceBuffer` describes, as far as it decides whether a running one is current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredSidecar {
    /// The hash of all settings that only a new pod can receive.
    pub hash: String,
    /// The limits that running sidecars apply.
    pub limits: BufferLimits,
}

/// An object that a `TraceBuffer` refers to. It is looked up in the namespaces of the pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The kind of the object.
    pub kind: ReferenceKind,
    /// The name of the object.
    pub name: String,
    /// The field of the spec that contains the reference.
    pub field: String,
}

/// The kind of an object that a `TraceBuffer` refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceKind {
    /// A `Secret`.
    Secret,
    /// A `ConfigMap`.
    ConfigMap,
}

/// How fast the owners of outdated pods are restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutPolicy {
    /// Maximum number of owners that restart at the same time; at least 1.
    pub max_concurrent: usize,
    /// The wait after the restart of an owner has completed.
    pub interval: Duration,
}

impl TraceBufferSnapshot {
    /// Returns whether pods of `namespace` may use this `TraceBuffer`.
    #[must_use]
    pub fn allows(&self, namespace: &NamespaceFacts) -> bool {
        self.allowed_namespaces.allows(&self.key.namespace, namespace)
    }

    /// Returns whether this `TraceBuffer` may restart workloads of `namespace`, and their new pods
    /// would get its sidecar.
    #[must_use]
    pub fn may_restart_in(&self, namespace: &NamespaceFacts) -> bool {
        self.allows(namespace)
            && has_consent(&self.key, namespace)
            && may_use_credentials(&self.key, self.credentials, namespace)
    }
}

impl DesiredSidecar {
    /// Returns the value with which a restarted owner is annotated. It differs for two sidecars if
    /// pods with the first are outdated by the second.
    #[must_use]
    pub fn revision(&self) -> String {
        format!("{}-{}", self.hash, self.limits.max_bytes)
    }
}

impl ReferenceKind {
    /// Returns the kind as in the Kubernetes API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}
