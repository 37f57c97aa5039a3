//! A `TraceBuffer` as the injection decision sees it.

use std::fmt;

/// The name of a namespaced object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// How the sidecar stands in its pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SidecarMode {
    /// As a native sidecar where the cluster has them, as a plain container elsewhere.
    #[default]
    Auto,
    /// As an init container that is always restarted.
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

/// What the decision needs to know of a `TraceBuffer`.
///
/// `S` is what the sidecar is made from; the decision carries it through.
#[derive(Clone, Debug)]
pub struct Candidate<S> {
    /// Its name.
    pub key: ObjectKey,
    /// The sidecar it describes; its mistakes, for people, where it is not accepted.
    pub sidecar: Result<S, String>,
    /// The other namespaces whose pods may use it.
    pub allowed_namespaces: Vec<String>,
}
