//! The operator's own objects, as `check` and `explain` both need them.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::seen::{Seen, list};
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::facts::ClusterFacts;

/// The webhook's entry for annotated pods, by which its configuration is known.
pub(super) const ENTRY: &str = "inject.tracebuffer.dev";

const EXCLUDED_VARIABLE: &str = "TRACEBUFFER_EXCLUDED_NAMESPACES";
const DEFAULT_VARIABLE: &str = "TRACEBUFFER_DEFAULT_TRACE_BUFFER";

/// The operator, as far as it could be seen.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) webhook: Seen<MutatingWebhookConfiguration>,
    pub(super) deployment: Seen<Deployment>,
    /// Its own namespace; empty if it is not known.
    pub(super) namespace: String,
}

impl Operator {
    /// Looks for it: by the `name` that the chart gives to both objects and their `namespace`, where
    /// they are known, or else by the webhook's entry.
    pub(super) async fn look(client: &Client, name: Option<&str>, namespace: Option<&str>) -> Self {
        let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
        let webhook = match name {
            Some(name) => Seen::of(api.get(name).await),
            None => match list(&api, &ListParams::default()).await {
                Seen::Is(all) => all.into_iter().find(is_ours).map_or(Seen::Absent, Seen::Is),
                Seen::Absent => Seen::Absent,
                Seen::Hidden(why) => Seen::Hidden(why),
                Seen::Unknown(why) => Seen::Unknown(why),
            },
        };
        let found = webhook.get();
        let namespace =
            namespace.map(str::to_owned).or_else(|| service_namespace(found?)).unwrap_or_default();
        let name = name.map(str::to_owned).or_else(|| found.map(ResourceExt::name_any));
        let deployment = match name {
            Some(name) if !namespace.is_empty() => {
                let api = Api::<Deployment>::namespaced(client.clone(), &namespace);
                Seen::of(api.get(&name).await)
            }
            _ => match &webhook {
                Seen::Is(_) | Seen::Absent => Seen::Absent,
                // Its Deployment is found through it.
                Seen::Hidden(why) | Seen::Unknown(why) => Seen::Hidden(why.clone()),
            },
        };
        Self { webhook, deployment, namespace }
    }

    /// Returns how many of its replicas are ready.
    pub(super) fn ready_replicas(&self) -> i32 {
        let status = self.deployment.get().and_then(|deployment| deployment.status.as_ref());
        status.and_then(|status| status.ready_replicas).unwrap_or_default()
    }

    /// Returns the value of a variable of its container.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let pod = self.deployment.get()?.spec.as_ref()?.template.spec.as_ref()?;
        let mut variables = pod.containers.iter().flat_map(|one| one.env.iter().flatten());
        variables.find(|variable| variable.name == name)?.value.as_deref()
    }

    /// Returns what the decision needs to know of the cluster, as the operator was told.
    pub(super) fn cluster(&self) -> ClusterFacts {
        let excluded = self.variable(EXCLUDED_VARIABLE).unwrap_or_default().split(',');
        let excluded = excluded.map(str::trim).filter(|name| !name.is_empty());
        let default = self.variable(DEFAULT_VARIABLE).and_then(|name| name.split_once('/'));
        ClusterFacts {
            own_namespace: self.namespace.clone(),
            excluded_namespaces: excluded.map(str::to_owned).collect(),
            default_trace_buffer: default.map(|(namespace, name)| ObjectKey {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
        }
    }
}

fn is_ours(configuration: &MutatingWebhookConfiguration) -> bool {
    configuration.webhooks.iter().flatten().any(|entry| entry.name == ENTRY)
}

fn service_namespace(configuration: &MutatingWebhookConfiguration) -> Option<String> {
    let mut services = configuration.webhooks.iter().flatten();
    services.find_map(|entry| Some(entry.client_config.service.as_ref()?.namespace.clone()))
}
