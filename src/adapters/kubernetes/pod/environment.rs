//! Sets the endpoint of the sidecar in the application's containers.

use serde_json::{Value, json};

use super::patch_builder::PatchBuilder;
use super::pod_json::{containers, list, name, text};
use super::position::SidecarPosition;
use super::warnings::container_list;
use crate::adapters::kubernetes::names::TRACES_ENDPOINT_VAR;
use crate::adapters::kubernetes::sidecar::Sidecar;

/// The variable with a container's exporters; only `otlp` uses an endpoint.
const TRACES_EXPORTER: &str = "OTEL_TRACES_EXPORTER";
/// The variable that disables a container's SDK.
const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
/// The hosts that mean the pod's loopback interface.
const LOOPBACK_HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// What to do with a container's environment.
#[derive(Debug, PartialEq, Eq)]
enum EndpointAction {
    /// Add the endpoint.
    Add,
    /// The container already sends to the sidecar, or sends nothing.
    LeaveUnchanged,
    /// The container sets another endpoint itself.
    Bypass,
}

/// Adds the endpoint to every container that the sidecar serves, and returns warnings about containers
/// that bypass the sidecar or whose endpoint may be overridden.
pub(super) fn add_endpoint(
    patch: &mut PatchBuilder<'_>,
    pod: &Value,
    sidecar: &Sidecar,
    position: SidecarPosition,
) -> Vec<String> {
    let Some(endpoint) = &sidecar.application_endpoint else { return vec![] };
    let (mut bypassing, mut overridden) = (vec![], vec![]);
    for (kind, index, container) in containers(pod) {
        if !position.serves(kind, index, container) {
            continue;
        }
        match endpoint_action(container, sidecar) {
            EndpointAction::Add => {
                let variable = json!({"name": TRACES_ENDPOINT_VAR, "value": endpoint});
                patch.append(&["spec", kind, &index.to_string(), "env"], vec![variable]);
                if !list(container, "/envFrom").is_empty() {
                    overridden.push(name(container));
                }
            }
            EndpointAction::LeaveUnchanged => {}
            EndpointAction::Bypass => bypassing.push(name(container)),
        }
    }
    endpoint_warnings(&bypassing, &overridden)
}

fn endpoint_warnings(bypassing: &[&str], overridden: &[&str]) -> Vec<String> {
    let mut warnings = vec![];
    if !bypassing.is_empty() {
        let containers = container_list(bypassing);
        warnings.push(format!(
            "the traces of {containers} bypass the buffer: {TRACES_ENDPOINT_VAR} is set there"
        ));
    }
    if !overridden.is_empty() {
        let containers = container_list(overridden);
        warnings.push(format!(
            "{TRACES_ENDPOINT_VAR} was added to {containers}, where it overrides a value from envFrom"
        ));
    }
    warnings
}

fn endpoint_action(container: &Value, sidecar: &Sidecar) -> EndpointAction {
    if let Some(set) = effective_variable(container, TRACES_ENDPOINT_VAR) {
        let is_ours = text(set, "/value").is_some_and(|value| is_sidecar_endpoint(value, sidecar));
        return if is_ours { EndpointAction::LeaveUnchanged } else { EndpointAction::Bypass };
    }
    let value = |name| effective_variable(container, name).and_then(|set| text(set, "/value"));
    let exports = value(TRACES_EXPORTER).is_none_or(|all| {
        all.is_empty() || all.contains('$') || all.split(',').any(|one| one.trim() == "otlp")
    });
    let is_disabled = value(SDK_DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if exports && !is_disabled { EndpointAction::Add } else { EndpointAction::LeaveUnchanged }
}

/// Returns the last variable of this name, which is the one that takes effect.
fn effective_variable<'a>(container: &'a Value, variable_name: &str) -> Option<&'a Value> {
    list(container, "/env").iter().rfind(|variable| name(variable) == variable_name)
}

/// Returns whether an endpoint is one of the sidecar's ports on the pod's loopback interface.
fn is_sidecar_endpoint(endpoint: &str, sidecar: &Sidecar) -> bool {
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = authority.split_once('/').map_or(authority, |(authority, _)| authority);
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let ports = [sidecar.ports.grpc, sidecar.ports.http];
    LOOPBACK_HOSTS.contains(&host) && port.parse().is_ok_and(|port: u16| ports.contains(&port))
}

#[cfg(test)]
mod tests;
