//! The position of the sidecar among a pod's containers, and which of them belong to the application.

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
/// Containers of other injectors, which do not belong to the application.
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

/// The name prefix of the OpenTelemetry operator's init containers, which only copy files.
const INSTRUMENTATION_PREFIX: &str = "opentelemetry-auto-instrumentation";

/// The position of the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SidecarPosition {
    /// Among the init containers.
    Native {
        /// The index of the sidecar.
        index: usize,
    },
    /// After the other containers.
    Container,
}

impl SidecarPosition {
    /// Returns the position of a new sidecar.
    ///
    /// A native sidecar is the first init container, so that the application's init containers can use
    /// it, but comes after those of a service mesh: it can connect only through the mesh's proxy, and
    /// native sidecars terminate in reverse order, so the proxy still runs when the sidecar drains.
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

    /// Returns the position of the sidecar of an injected pod.
    pub(super) fn of_existing(pod: &Value) -> Self {
        let init = list(pod, "/spec/initContainers");
        let index = init.iter().position(|container| name(container) == names::SIDECAR_CONTAINER);
        index.map_or(Self::Container, |index| Self::Native { index })
    }

    /// Returns whether a container belongs to the application and can use the sidecar: it is not an init
    /// container, or an init container that starts after the sidecar or runs as long as the pod.
    pub(super) fn serves(self, kind: &str, index: usize, container: &Value) -> bool {
        let can_use_sidecar = match self {
            _ if kind == CONTAINERS => true,
            Self::Native { index: sidecar } if index >= sidecar => true,
            _ => kind == INIT_CONTAINERS && is_native_sidecar(container),
        };
        can_use_sidecar && is_of_application(name(container))
    }
}

/// Returns the name of a mesh's proxy that is not a native sidecar, and so terminates before one.
pub(super) fn non_native_mesh_proxy(pod: &Value) -> Option<&str> {
    let mut app_containers = containers(pod).filter(|(kind, ..)| *kind == CONTAINERS);
    app_containers.find_map(|(_, _, container)| {
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
    fn a_native_sidecar_goes_first_but_after_the_containers_of_a_mesh() {
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
    fn only_containers_that_start_after_the_sidecar_are_served() {
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
