//! What the decision needs to know of a pod, its namespace and its cluster.

use std::collections::BTreeMap;

use crate::domain::operator::object_key::ObjectKey;

/// The namespace of the cluster's own parts.
pub const SYSTEM_NAMESPACE: &str = "kube-system";

/// A pod, as the decision sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub struct PodFacts {
    /// The value of its annotation `tracebuffer.dev/inject`.
    pub inject: Option<String>,
    /// Whether it uses the node's network.
    pub host_network: bool,
    /// Whether it is for nodes that run Windows.
    pub windows: bool,
    /// Whether it is the copy of a pod that a kubelet runs from a file of its own.
    pub is_mirror_pod: bool,
    /// Whether it ends when its containers do: its restart policy is other than `Always`.
    pub runs_to_completion: bool,
    /// Whether a container has the sidecar's name.
    pub sidecar: SidecarPresence,
    /// The names of its volumes.
    pub volumes: Vec<String>,
    /// What its containers say they listen on, over TCP.
    pub ports: Vec<ContainerPort>,
}

/// Whether a container has the sidecar's name, and whether it is the sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SidecarPresence {
    /// No container has its name.
    #[default]
    Absent,
    /// It is there, made from this `TraceBuffer`.
    Injected(ObjectKey),
    /// Something else has its name.
    Foreign,
}

/// A port that a container says it listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// The container's name.
    pub container: String,
    /// The port.
    pub port: u16,
}

/// A namespace, as the decision sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its name.
    pub name: String,
    /// Whether its label `tracebuffer.dev/inject` asks for a sidecar in every pod.
    pub opted_in: bool,
    /// Its labels; `None` where the Namespace was not seen, which no selector matches.
    pub labels: Option<BTreeMap<String, String>>,
    /// The value of its annotation `tracebuffer.dev/tracebuffer`.
    pub trace_buffer: Option<String>,
}

/// The cluster, as the decision sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The operator's own namespace; empty where there is no operator.
    pub operator_namespace: String,
    /// The namespaces whose pods never get a sidecar, besides the operator's own.
    pub excluded_namespaces: Vec<String>,
    /// The `TraceBuffer` of pods for which no other is named or found.
    pub default_trace_buffer: Option<ObjectKey>,
}

impl NamespaceFacts {
    /// Returns a namespace of which only the name is known.
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
