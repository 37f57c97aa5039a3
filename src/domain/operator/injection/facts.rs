//! The facts about a pod, its namespace and the cluster that the injection decision depends on.

use std::collections::BTreeMap;

use crate::domain::operator::object_key::ObjectKey;

/// The namespace of the control plane.
pub const SYSTEM_NAMESPACE: &str = "kube-system";

/// The facts about a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct PodFacts {
    /// The value of its annotation `tracebuffer.dev/inject`.
    pub inject: Option<String>,
    /// Whether it uses the host network.
    pub host_network: bool,
    /// Whether it runs on Windows nodes.
    pub windows: bool,
    /// Whether it is the mirror pod of a static pod.
    pub is_mirror_pod: bool,
    /// Whether it runs to completion: its restart policy is not `Always`.
    pub runs_to_completion: bool,
    /// Whether a container has the sidecar's name.
    pub sidecar: SidecarPresence,
    /// The names of its volumes.
    pub volumes: Vec<String>,
    /// The TCP ports that its containers declare.
    pub ports: Vec<ContainerPort>,
}

/// Whether a container has the sidecar's name, and whether it is the sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SidecarPresence {
    /// No container has its name.
    #[default]
    Absent,
    /// The sidecar of this `TraceBuffer`.
    Injected(ObjectKey),
    /// Another container has its name.
    Foreign,
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// The container's name.
    pub container: String,
    /// The port.
    pub port: u16,
}

/// The facts about a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its name.
    pub name: String,
    /// Whether its label `tracebuffer.dev/inject` asks for a sidecar in every pod.
    pub opted_in: bool,
    /// Its labels; `None` if unknown, which no selector matches.
    pub labels: Option<BTreeMap<String, String>>,
    /// The value of its annotation `tracebuffer.dev/tracebuffer`.
    pub trace_buffer: Option<String>,
}

/// The facts about the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The operator's own namespace; empty without an operator.
    pub operator_namespace: String,
    /// The namespaces whose pods never get a sidecar, besides the operator's own.
    pub excluded_namespaces: Vec<String>,
    /// The operator's default `TraceBuffer`, for pods without any other.
    pub default_trace_buffer: Option<ObjectKey>,
}

impl NamespaceFacts {
    /// Returns a namespace of which nothing but the name is known.
    #[must_use]
    pub fn unknown(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

impl ClusterFacts {
    /// Returns whether no pod of `namespace` ever gets a sidecar.
    #[must_use]
    pub fn excludes(&self, namespace: &str) -> bool {
        namespace == self.operator_namespace
            || self.excluded_namespaces.iter().any(|excluded| excluded == namespace)
    }
}
