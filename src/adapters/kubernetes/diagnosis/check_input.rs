//! What `check` reads from the cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, Namespace, Pod, PodSecurityContext, PodSpec, SeccompProfile, Secret,
    SecurityContext,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, ObjectMeta, PartialObjectMeta, PostParams};
use kube::{Api, Client, CustomResourceExt, ResourceExt};

use super::fetched::{Fetched, list, list_metadata};
use super::operator::OperatorObjects;
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::{names, version};

const CERTIFICATE_SECRET_VAR: &str = "TRACEBUFFER_CERTIFICATE_SECRET";
const DEFAULT_CERTIFICATE_SECRET: &str = "tracebuffer-webhook-tls";

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiagnosisScope {
    /// The namespace whose `TraceBuffer`s and pods are looked at; `None` is all.
    pub namespace: Option<String>,
    /// The operator's namespace; `None` is where its webhook's Service is.
    pub operator_namespace: Option<String>,
    /// The name of the webhook configuration and the operator's Deployment; `None` finds it.
    pub operator_name: Option<String>,
    /// The Secret of its certificate; `None` is the one the Deployment names.
    pub certificate_secret: Option<String>,
}

/// An installation, as far as it could be seen.
#[derive(Clone, Debug)]
pub struct CheckInput {
    /// Seconds since 1970.
    pub(super) now: i64,
    /// Major and minor version, and how the server writes it.
    pub(super) version: Fetched<(u32, u32, String)>,
    pub(super) crd: Fetched<CustomResourceDefinition>,
    pub(super) operator: OperatorObjects,
    pub(super) certificate_secret: Fetched<Secret>,
    /// A pod that asks for a sidecar, as the server would store it, and its namespace.
    pub(super) dry_run: (String, Fetched<Pod>),
    pub(super) trace_buffers: Fetched<Vec<TraceBuffer>>,
    /// The namespaces, by their metadata.
    pub(super) namespaces: Vec<ObjectMeta>,
    /// Whether `TraceBuffer`s of other namespaces, which pods may use, were left out.
    pub(super) is_single_namespace: bool,
    pub(super) pods: Fetched<Vec<PartialObjectMeta<Pod>>>,
    pub(super) injected_pods: Fetched<Vec<Pod>>,
}

impl CheckInput {
    /// Reads them; `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Why the API server could not be asked for its version, and so for nothing.
    pub async fn read(
        client: &Client,
        place: &DiagnosisScope,
        now: i64,
    ) -> Result<Self, kube::Error> {
        let version = fetch_version(client).await?;
        let (name, namespace) = (&place.operator_name, &place.operator_namespace);
        let operator = OperatorObjects::read(client, name.as_deref(), namespace.as_deref()).await;
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        let by_label = ListParams::default().labels(&format!("{}=true", names::INJECTED));
        let pods: Api<Pod> = scoped_api(client, place);
        let namespaces = fetch_namespaces(client, place).await;
        Ok(Self {
            now,
            version,
            crd: Fetched::from_result(crds.get(TraceBuffer::crd_name()).await),
            certificate_secret: fetch_certificate_secret(client, place, &operator).await,
            dry_run: create_dry_run_pod(client, place, &operator).await,
            operator,
            trace_buffers: list(&scoped_api(client, place), &ListParams::default()).await,
            namespaces,
            is_single_namespace: place.namespace.is_some(),
            pods: list_metadata(&pods, &ListParams::default()).await,
            injected_pods: list(&pods, &by_label).await,
        })
    }
}

fn scoped_api<K>(client: &Client, place: &DiagnosisScope) -> Api<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    match &place.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Asks for the version first: without an answer there is nothing to look at.
pub(super) async fn fetch_version(
    client: &Client,
) -> Result<Fetched<(u32, u32, String)>, kube::Error> {
    match client.apiserver_version().await {
        Err(error @ (kube::Error::Service(_) | kube::Error::HyperError(_))) => Err(error),
        info => Ok(Fetched::from_result(info.map(|info| {
            let (major, minor) = version::major_minor(&info);
            (major, minor, info.git_version)
        }))),
    }
}

async fn fetch_namespaces(client: &Client, place: &DiagnosisScope) -> Vec<ObjectMeta> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = list_metadata(&api, &ListParams::default()).await;
    let all = found.get().into_iter().flatten();
    let here = |one: &&PartialObjectMeta<Namespace>| {
        place.namespace.as_ref().is_none_or(|only| *only == one.name_any())
    };
    all.filter(here).map(|one| one.metadata.clone()).collect()
}

async fn fetch_certificate_secret(
    client: &Client,
    place: &DiagnosisScope,
    operator: &OperatorObjects,
) -> Fetched<Secret> {
    if operator.namespace.is_empty() {
        return Fetched::NotFound;
    }
    let named =
        place.certificate_secret.as_deref().or_else(|| operator.env_var(CERTIFICATE_SECRET_VAR));
    let api: Api<Secret> = Api::namespaced(client.clone(), &operator.namespace);
    Fetched::from_result(api.get(named.unwrap_or(DEFAULT_CERTIFICATE_SECRET)).await)
}

/// Creates a pod that asks for a sidecar without its being stored: the only proof that the API server
/// reaches the webhook, and trusts it.
async fn create_dry_run_pod(
    client: &Client,
    place: &DiagnosisScope,
    operator: &OperatorObjects,
) -> (String, Fetched<Pod>) {
    let given = place.namespace.as_deref().unwrap_or_else(|| client.default_namespace());
    // There the webhook is never asked.
    let namespace = if operator.cluster_facts().excludes(given) { "default" } else { given };
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = PostParams { dry_run: true, field_manager: Some(names::FIELD_MANAGER.to_owned()) };
    (namespace.to_owned(), Fetched::from_result(api.create(&params, &dry_run_pod()).await))
}

/// A pod that the restricted security level admits.
fn dry_run_pod() -> Pod {
    let annotations = BTreeMap::from([(names::INJECT.to_owned(), "true".to_owned())]);
    let container = Container {
        name: "check".to_owned(),
        image: Some("tracebuffer.invalid/check".to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    };
    let security_context = PodSecurityContext {
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    };
    Pod {
        metadata: ObjectMeta {
            generate_name: Some("tracebuffer-check-".to_owned()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![container],
            security_context: Some(security_context),
            automount_service_account_token: Some(false),
            ..PodSpec::default()
        }),
        status: None,
    }
}
