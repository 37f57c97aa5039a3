//! Sets the endpoint of the sidecar, and resource attributes, in the application's containers.

mod exporter;
mod resource_attributes;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::exporter::{EndpointAction, Environment, Obstacle, TRACES_INSECURE_VAR};
use super::patch_builder::PatchBuilder;
use super::pod_json::{containers, name};
use super::position::SidecarPosition;
use super::warnings::container_list;
use crate::adapters::kubernetes::names::TRACES_ENDPOINT_VAR;
use crate::adapters::kubernetes::sidecar::Sidecar;

/// The containers to warn about.
#[derive(Default)]
struct Warned<'a> {
    bypassing: BTreeMap<Obstacle, Vec<&'a str>>,
    overridden: Vec<&'a str>,
    /// By the variable that sets headers.
    headers: BTreeMap<&'static str, Vec<&'a str>>,
}

/// What the author of a pod should know about the environments of its containers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EnvironmentReport {
    /// Whether a container bypasses the sidecar.
    pub(super) is_bypassed: bool,
    /// Warnings about containers that bypass the sidecar, whose endpoint may be overridden, or whose
    /// headers have no effect.
    pub(super) warnings: Vec<String>,
}

/// Adds the endpoint, and resource attributes if the `TraceBuffer` wants them, to every container that the
/// sidecar serves.
pub(super) fn add_variables(
    patch: &mut PatchBuilder<'_>,
    pod: &Value,
    sidecar: &Sidecar,
    position: SidecarPosition,
) -> EnvironmentReport {
    let mut warned = Warned::default();
    for (kind, index, container) in containers(pod) {
        if !position.serves(kind, index, container) {
            continue;
        }
        let mut variables = vec![];
        if let Some(endpoint) = &sidecar.application_endpoint {
            let environment = Environment(container);
            let action = environment.action(sidecar);
            warned.note(container, &environment, action);
            if let EndpointAction::Add { insecure } = action {
                variables.push(json!({"name": TRACES_ENDPOINT_VAR, "value": endpoint}));
                variables.extend(
                    insecure.then(|| json!({"name": TRACES_INSECURE_VAR, "value": "true"})),
                );
            }
        }
        if sidecar.sets_resource_attributes {
            variables.extend(resource_attributes::variables(pod, container));
        }
        patch.append(&["spec", kind, &index.to_string(), "env"], variables);
    }
    let is_bypassed = !warned.bypassing.is_empty();
    EnvironmentReport { is_bypassed, warnings: warned.warnings() }
}

impl<'a> Warned<'a> {
    fn note(
        &mut self,
        container: &'a Value,
        environment: &Environment<'_>,
        action: EndpointAction,
    ) {
        let container = name(container);
        if let EndpointAction::Bypass(obstacle) = action {
            self.bypassing.entry(obstacle).or_default().push(container);
        } else if let EndpointAction::Add { .. } = action {
            if environment.has_unknown_variables() {
                self.overridden.push(container);
            }
            if let Some(variable) = environment.headers() {
                self.headers.entry(variable).or_default().push(container);
            }
        }
    }

    fn warnings(self) -> Vec<String> {
        let mut warnings = vec![];
        for (obstacle, names) in self.bypassing {
            let containers = container_list(&names);
            warnings.push(format!("the traces of {containers} bypass the buffer: {obstacle}"));
        }
        for (variable, names) in self.headers {
            let containers = container_list(&names);
            warnings.push(format!(
                "{variable} of {containers} has no effect on traces beyond the sidecar, which sends \
                 destination.headers of the TraceBuffer"
            ));
        }
        if !self.overridden.is_empty() {
            let containers = container_list(&self.overridden);
            warnings.push(format!(
                "{TRACES_ENDPOINT_VAR} was added to {containers}, where it overrides a value from \
                 envFrom; a certificate or proxy there would keep traces from the sidecar"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests;
