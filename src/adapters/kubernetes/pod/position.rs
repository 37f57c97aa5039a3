//! Where the sidecar stands among a pod's containers, and whose containers the others are.

use serde_json::Value;

use super::pod_json::{CONTAINERS, INIT_CONTAINERS, containers, is_native_sidecar, list, name};
use crate::adapters::kubernetes::names;
use crate::domain::operator::injection::trace_buffer_view::SidecarMode;

/// The proxies of service meshes.
const MESH_PROXIES: [&str; 4] =
    ["istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane"];
/// The init containers by which meshes prepare a pod's network for their proxies.
const MESH_INIT_CONTAINERS: [&str; 7] = [
    "istio-init",
    "istio-validation",
    "linkerd-init",
    "linkerd-network-validator",
    "kuma-init",
    "kuma-validation",
    "consul-connect-inject-init",
];
/// Other injectors' containers: they are not the application, and their traces not its own.
const OTHER_INJECTED_CONTAINERS: [&str; 8] = [
    "cloud-sql-proxy",
    "daprd",
    "datadog-agent",
    "jaeger-agent",
    "otc-container",
    "vault-agent",
    "vault-agent-init",
    "xray-daemon",
];

/// What the OpenTelemetry operator's init containers, which only copy files, begin with.
const INSTRUMENTATION_PREFIX: &str = "opentelemetry-auto-instrumentation";

/// Where the sidecar stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SidecarPosition {
    /// Among the init containers, before the one at this index or as that one.
    Native {
        /// The index.
        index: usize,
    },
    /// Last of the ordinary containers.
    Container,
}

impl SidecarPosition {
    /// Returns where a new sidecar goes.
    ///
    /// A native one goes first, so that every init container of the application can use it, but
    /// behind all that a mesh has put in: without the mesh's proxy it reaches nobody, and native
    /// sidecars end in reverse order, so the proxy is still there when the sidecar sends the last.
    pub(super) fn for_new(pod: &Value, mode: SidecarMode) -> Self {
        if mode == SidecarMode::Container {
            return Self::Container;
        }
        let init = list(pod, "/spec/initContainers");
        let last_of_mesh = init.iter().rposition(|container| {
            let name = name(container);
            MESH_PROXIES.contains(&name) || MESH_INIT_CONTAINERS.contains(&name)
        });
        Self::Native { index: last_of_mesh.map_or(0, |index| index + 1) }
    }

    /// Returns where the sidecar of an injected pod is.
    pub(super) fn of_existing(pod: &Value) -> Self {
        let init = list(pod, "/spec/initContainers");
        let index = init.iter().position(|container| name(container) == names::SIDECAR_CONTAINER);
        index.map_or(Self::Container, |index| Self::Native { index })
    }

    /// Returns whether a container is the application's and can use the sidecar: an ordinary one, or
    /// an init container that comes after the sidecar or lives as long as the pod.
    pub(super) fn serves(self, kind: &str, index: usize, container: &Value) -> bool {
        let is_in_time = match self {
            _ if kind == CONTAINERS => true,
            Self::Native { index: sidecar } if index >= sidecar => true,
            _ => kind == INIT_CONTAINERS && is_native_sidecar(container),
        };
        is_in_time && is_of_application(name(container))
    }
}

/// Returns the name of a mesh's proxy that stands among the ordinary containers, and so ends before
/// a native sidecar.
pub(super) fn non_native_mesh_proxy(pod: &Value) -> Option<&str> {
    let mut ordinary = containers(pod).filter(|(kind, ..)| *kind == CONTAINERS);
    ordinary.find_map(|(_, _, container)| {
        Some(name(container)).filter(|name| MESH_PROXIES.contains(name))
    })
}

fn is_of_application(name: &str) -> bool {
    let others = [
        &MESH_PROXIES[..],
        &MESH_INIT_CONTAINERS,
        &OTHER_INJECTED_CONTAINERS,
        &[names::SIDECAR_CONTAINER],
    ];
    !others.iter().any(|names| names.contains(&name)) && !name.starts_with(INSTRUMENTATION_PREFIX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(init: &[&str]) -> Value {
        let init: Vec<_> = init.iter().map(|name| json!({"name": name})).collect();
        json!({"spec": {"containers": [], "initContainers": init}})
    }

    #[test]
    fn a_native_sidecar_goes_first_but_behind_all_of_a_mesh() {
        for (init, index) in [
            (&[][..], 0),
            (&["migrate"], 0),
            (&["istio-init", "istio-proxy", "migrate"], 2),
            (&["istio-validation", "istio-proxy", "migrate"], 2),
            (&["linkerd-network-validator", "linkerd-proxy", "migrate"], 2),
            (&["migrate", "linkerd-init", "linkerd-proxy"], 3),
            (&["istio-init", "migrate"], 1),
            (&["vault-agent-init", "migrate"], 0),
        ] {
            assert_eq!(
                SidecarPosition::for_new(&pod(init), SidecarMode::Native),
                SidecarPosition::Native { index },
                "{init:?}"
            );
        }
        assert_eq!(
            SidecarPosition::for_new(&pod(&["a"]), SidecarMode::Container),
            SidecarPosition::Container
        );
    }

    #[test]
    fn the_sidecar_of_an_injected_pod_is_found() {
        let native = pod(&["istio-proxy", "tracebuffer", "migrate"]);
        assert_eq!(SidecarPosition::of_existing(&native), SidecarPosition::Native { index: 1 });
        assert_eq!(SidecarPosition::of_existing(&pod(&["migrate"])), SidecarPosition::Container);
    }

    #[test]
    fn the_application_is_served_once_the_sidecar_runs() {
        let named = |name| json!({"name": name});
        let native = json!({"name": "log", "restartPolicy": "Always"});
        let second = SidecarPosition::Native { index: 1 };
        for (place, kind, index, container, served) in [
            (second, CONTAINERS, 0, named("web"), true),
            (second, INIT_CONTAINERS, 0, named("early"), false),
            (second, INIT_CONTAINERS, 1, named("late"), true),
            (second, INIT_CONTAINERS, 0, native.clone(), true),
            (SidecarPosition::Container, CONTAINERS, 3, named("web"), true),
            (SidecarPosition::Container, INIT_CONTAINERS, 3, named("late"), false),
            (SidecarPosition::Container, INIT_CONTAINERS, 0, native, true),
            (second, INIT_CONTAINERS, 1, named("tracebuffer"), false),
            (second, CONTAINERS, 0, named("istio-proxy"), false),
            (second, INIT_CONTAINERS, 2, named("vault-agent-init"), false),
            (second, INIT_CONTAINERS, 2, named("opentelemetry-auto-instrumentation-java"), false),
        ] {
            assert_eq!(place.serves(kind, index, &container), served, "{place:?} {container}");
        }
    }

    #[test]
    fn a_mesh_proxy_among_the_ordinary_containers_is_found() {
        let mut meshed = pod(&["istio-init"]);
        assert_eq!(non_native_mesh_proxy(&meshed), None);
        meshed["spec"]["containers"] = json!([{"name": "web"}, {"name": "istio-proxy"}]);
        assert_eq!(non_native_mesh_proxy(&meshed), Some("istio-proxy"));
    }
}
