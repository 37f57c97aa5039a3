//! Telling the application's containers where their traces go.

use serde_json::{Value, json};

use super::patch_builder::PatchBuilder;
use super::pod_json::{containers, list, name, text};
use super::position::SidecarPosition;
use super::warnings;
use crate::adapters::kubernetes::names::TRACES_ENDPOINT;
use crate::adapters::kubernetes::sidecar::Sidecar;

/// What says which exporters a container uses; only `otlp` sends to an endpoint.
const TRACES_EXPORTER: &str = "OTEL_TRACES_EXPORTER";
/// What switches a container's SDK off.
const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
/// The hosts that are the pod itself.
const LOOPBACK_HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// What becomes of a container's environment.
#[derive(Debug, PartialEq, Eq)]
enum EndpointAction {
    /// It is told the endpoint.
    Add,
    /// It sends to the sidecar already, or wants to send nothing.
    LeaveUnchanged,
    /// It says itself where its traces go.
    Bypass,
}

/// Tells every container that the sidecar serves where its traces go, and returns what is to be
/// said about those that do as they like.
pub(super) fn add_endpoint(
    edit: &mut PatchBuilder<'_>,
    pod: &Value,
    sidecar: &Sidecar,
    place: SidecarPosition,
) -> Vec<String> {
    let Some(endpoint) = &sidecar.application_endpoint else { return vec![] };
    let (mut bypassing, mut overridden) = (vec![], vec![]);
    for (kind, index, container) in containers(pod) {
        if !place.serves(kind, index, container) {
            continue;
        }
        match endpoint_action(container, sidecar) {
            EndpointAction::Add => {
                let variable = json!({"name": TRACES_ENDPOINT, "value": endpoint});
                edit.append(&["spec", kind, &index.to_string(), "env"], vec![variable]);
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
    let mut said = vec![];
    if !bypassing.is_empty() {
        let containers = warnings::container_list(bypassing);
        said.push(format!(
            "the traces of {containers} bypass the buffer: {TRACES_ENDPOINT} is set there"
        ));
    }
    if !overridden.is_empty() {
        let containers = warnings::container_list(overridden);
        said.push(format!(
            "{TRACES_ENDPOINT} was added to {containers} and overrides one that envFrom may bring"
        ));
    }
    said
}

fn endpoint_action(container: &Value, sidecar: &Sidecar) -> EndpointAction {
    if let Some(set) = effective_variable(container, TRACES_ENDPOINT) {
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

/// Returns the last variable of this name: the one that counts.
fn effective_variable<'a>(container: &'a Value, wanted: &str) -> Option<&'a Value> {
    list(container, "/env").iter().rfind(|variable| name(variable) == wanted)
}

/// Whether an endpoint is the sidecar's: one of its ports on the pod's loopback.
fn is_sidecar_endpoint(endpoint: &str, sidecar: &Sidecar) -> bool {
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = authority.split_once('/').map_or(authority, |(authority, _)| authority);
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let ports = [sidecar.ports.grpc, sidecar.ports.http];
    LOOPBACK_HOSTS.contains(&host) && port.parse().is_ok_and(|port: u16| ports.contains(&port))
}

#[cfg(test)]
mod tests;
