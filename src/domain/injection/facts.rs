//! What the decision needs to know of a pod, its namespace and its cluster.

use super::candidate::ObjectKey;

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
    pub mirrors_static: bool,
    /// Whether it ends when its containers do: its restart policy is other than `Always`.
    pub runs_to_completion: bool,
    /// Whether a container has the sidecar's name.
    pub sidecar: SidecarPresence,
    /// The names of its volumes.
    pub volumes: Vec<String>,
    /// What its containers say they listen on, over TCP.
    pub ports: Vec<ClaimedPort>,
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
pub struct ClaimedPort {
    /// The container's name.
    pub container: String,
    /// The port.
    pub port: u16,
}

/// A namespace, as the decision sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its name.
    pub name: String,
    /// Whether its label asks for a sidecar in every pod.
    pub asks: bool,
}

/// The cluster, as the decision sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Whether init containers can be sidecars.
    pub native_sidecars: bool,
    /// The operator's own namespace; empty where there is no operator.
    pub own_namespace: String,
}

impl ClusterFacts {
    /// Returns whether an API server of this version has native sidecars switched on by default:
    /// Kubernetes 1.29 and later.
    #[must_use]
    pub const fn has_native_sidecars(major: u32, minor: u32) -> bool {
        major > 1 || (major == 1 && minor >= 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_sidecars_came_with_kubernetes_1_29() {
        for (major, minor, has) in
            [(1, 28, false), (1, 29, true), (1, 36, true), (2, 0, true), (0, 99, false)]
        {
            assert_eq!(ClusterFacts::has_native_sidecars(major, minor), has, "{major}.{minor}");
        }
    }
}
