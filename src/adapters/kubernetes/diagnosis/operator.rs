//! The operator's own objects, which both `check` and `explain` read.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::fetched::{Fetched, list};
use crate::adapters::kubernetes::names::WEBHOOK_ENTRY;
use crate::domain::operator::injection::facts::ClusterFacts;

/// The label that the chart gives the operator's Deployment, whatever the release is called.
const OPERATOR_LABEL: &str = "app.kubernetes.io/component=operator";
/// A variable that only the operator has.
const WEBHOOK_NAME_VAR: &str = "TRACEBUFFER_WEBHOOK_NAME";
const EXCLUDED_NAMESPACES_VAR: &str = "TRACEBUFFER_EXCLUDED_NAMESPACES";
const DEFAULT_TRACE_BUFFER_VAR: &str = "TRACEBUFFER_DEFAULT_TRACE_BUFFER";

/// The operator's objects, as far as they could be read.
#[derive(Clone, Debug)]
pub(super) struct OperatorObjects {
    pub(super) webhook_configuration: Fetched<MutatingWebhookConfiguration>,
    pub(super) deployment: Fetched<Deployment>,
    /// The namespace of the operator; empty if unknown.
    pub(super) namespace: String,
}

impl OperatorObjects {
    /// Reads the objects by the `name` that the chart gives them and by `namespace`; where these are
    /// `None`, by the webhook's entry, and the Deployment by its labels and variables if that is missing.
    pub(super) async fn read(client: &Client, name: Option<&str>, namespace: Option<&str>) -> Self {
        let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
        let webhook = match name {
            Some(name) => Fetched::from_result(api.get(name).await),
            None => list(&api, &ListParams::default()).await.find(is_ours),
        };
        let found = webhook.get();
        let namespace =
            namespace.map(str::to_owned).or_else(|| service_namespace(found?)).unwrap_or_default();
        let name = name.map(str::to_owned).or_else(|| found.map(ResourceExt::name_any));
        let deployment = match name {
            Some(name) if !namespace.is_empty() => {
                let api = Api::<Deployment>::namespaced(client.clone(), &namespace);
                Fetched::from_result(api.get(&name).await)
            }
            _ => find_deployment(client, &namespace).await,
        };
        let found_in = deployment.get().and_then(ResourceExt::namespace);
        let namespace = if namespace.is_empty() { found_in.unwrap_or_default() } else { namespace };
        Self { webhook_configuration: webhook, deployment, namespace }
    }

    /// Returns the number of ready replicas.
    pub(super) fn ready_replicas(&self) -> i32 {
        let status = self.deployment.get().and_then(|deployment| deployment.status.as_ref());
        status.and_then(|status| status.ready_replicas).unwrap_or_default()
    }

    /// Returns the value of an environment variable of the operator's container.
    pub(super) fn env_var(&self, name: &str) -> Option<&str> {
        env_var(self.deployment.get()?, name)
    }

    /// Returns the cluster's facts for the injection decision, from the operator's configuration.
    pub(super) fn cluster_facts(&self) -> ClusterFacts {
        let excluded = self.env_var(EXCLUDED_NAMESPACES_VAR).unwrap_or_default().split(',');
        let excluded = excluded.map(str::trim).filter(|name| !name.is_empty());
        let default = self.env_var(DEFAULT_TRACE_BUFFER_VAR).and_then(|key| key.parse().ok());
        ClusterFacts {
            operator_namespace: self.namespace.clone(),
            excluded_namespaces: excluded.map(str::to_owned).collect(),
            default_trace_buffer: default,
        }
    }
}

/// Finds the Deployment in `namespace`, or in any if that is empty.
async fn find_deployment(client: &Client, namespace: &str) -> Fetched<Deployment> {
    let api: Api<Deployment> = match namespace {
        "" => Api::all(client.clone()),
        namespace => Api::namespaced(client.clone(), namespace),
    };
    let is_operator = |found: &Deployment| env_var(found, WEBHOOK_NAME_VAR).is_some();
    list(&api, &ListParams::default().labels(OPERATOR_LABEL)).await.find(is_operator)
}

fn env_var<'a>(deployment: &'a Deployment, name: &str) -> Option<&'a str> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let mut variables = pod.containers.iter().flat_map(|one| one.env.iter().flatten());
    variables.find(|variable| variable.name == name)?.value.as_deref()
}

fn is_ours(configuration: &MutatingWebhookConfiguration) -> bool {
    configuration.webhooks.iter().flatten().any(|entry| entry.name == WEBHOOK_ENTRY)
}

fn service_namespace(configuration: &MutatingWebhookConfiguration) -> Option<String> {
    let mut services = configuration.webhooks.iter().flatten();
    services.find_map(|entry| Some(entry.client_config.service.as_ref()?.namespace.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::adapters::kubernetes::diagnosis::testing::from_json;

    #[test]
    fn a_default_trace_buffer_that_is_not_a_valid_name_is_ignored() {
        let default = |value: &str| {
            let operator = OperatorObjects {
                webhook_configuration: Fetched::NotFound,
                deployment: Fetched::Found(from_json(json!({
                    "spec": {"selector": {}, "template": {"spec": {"containers": [{
                        "name": "operator",
                        "env": [{"name": DEFAULT_TRACE_BUFFER_VAR, "value": value}],
                    }]}}},
                }))),
                namespace: String::new(),
            };
            operator.cluster_facts().default_trace_buffer.map(|key| key.to_string())
        };

        assert_eq!(default("platform/all").as_deref(), Some("platform/all"));
        for value in ["", "all", "platform/", "A/b", "a.b/c", "a/b/c"] {
            assert_eq!(default(value), None, "{value}");
        }
    }
}
