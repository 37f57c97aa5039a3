//! A `TraceBuffer` as the injection decision sees it.

use std::sync::Arc;

use super::consent::{AllowedNamespaces, CredentialUse};
use super::facts::NamespaceFacts;
use crate::domain::operator::object_key::ObjectKey;

/// How the sidecar runs in its pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SidecarMode {
    /// As a native sidecar: an init container with `restartPolicy: Always`.
    #[default]
    Native,
    /// As a plain container.
    Container,
}

/// The ports a sidecar listens on; all different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SidecarPorts {
    /// OTLP, by convention over gRPC.
    pub grpc: u16,
    /// OTLP, by convention over HTTP.
    pub http: u16,
    /// Health and metrics.
    pub admin: u16,
}

/// The parts of a `TraceBuffer` that the injection decision depends on. `S` is the sidecar, which the
/// decision returns.
#[derive(Clone, Debug)]
pub struct TraceBufferView<S> {
    /// Its name.
    pub key: ObjectKey,
    /// The sidecar, or the errors of the spec, for people, if it is not accepted.
    pub sidecar: Result<Arc<S>, String>,
    /// The namespaces whose pods may use it.
    pub allowed_namespaces: AllowedNamespaces,
}

impl<S> TraceBufferView<S> {
    /// Returns whether it allows pods of `namespace` to use it.
    #[must_use]
    pub fn allows(&self, namespace: &NamespaceFacts) -> bool {
        self.allowed_namespaces.allows(&self.key.namespace, namespace)
    }
}

/// The parts of a sidecar that the injection decision depends on.
pub trait SidecarTemplate {
    /// Returns how it runs in its pod.
    fn mode(&self) -> SidecarMode;

    /// Returns the ports it listens on.
    fn ports(&self) -> SidecarPorts;

    /// Returns the names of its volumes.
    fn volume_names(&self) -> impl Iterator<Item = &str>;

    /// Returns the credentials of its pod's namespace that it uses.
    fn credential_use(&self) -> CredentialUse;
}

/// The `TraceBuffer`s that a decision can select from.
pub trait TraceBufferLister {
    /// The type of a sidecar.
    type Sidecar;

    /// Returns the `TraceBuffer` `key`.
    fn get(&self, key: &ObjectKey) -> Option<Arc<TraceBufferView<Self::Sidecar>>>;

    /// Returns the names of the `TraceBuffer`s in `namespace`, sorted.
    fn names_in(&self, namespace: &str) -> Vec<String>;
}

/// A fixed list of `TraceBuffer`s.
impl<S> TraceBufferLister for Vec<Arc<TraceBufferView<S>>> {
    type Sidecar = S;

    fn get(&self, key: &ObjectKey) -> Option<Arc<TraceBufferView<S>>> {
        self.iter().find(|one| one.key == *key).cloned()
    }

    fn names_in(&self, namespace: &str) -> Vec<String> {
        let here = self.iter().filter(|one| one.key.namespace == namespace);
        let mut names: Vec<_> = here.map(|one| one.key.name.clone()).collect();
        names.sort_unstable();
        names
    }
}
