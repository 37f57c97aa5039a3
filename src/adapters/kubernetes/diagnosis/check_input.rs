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
use crate::adapters::kubernetes::watch::ACTIVE_PODS;
use crate::adapters::kubernetes::{names, version};

const CERTIFICATE_SECRET_VAR: &str = "TRACEBUFFER_CERTIFICATE_SECRET";
const DEFAULT_CERTIFICATE_SECRET: &str = "tracebuffer-webhook-tls";

/// The part of the cluster to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiagnosisScope {
    /// The namespace whose `TraceBuffer`s and pods are read; `None` means all namespaces.
    pub namespace: Option<String>,
    /// The namespace of the operator; `None` means that of the webhook's Service.
    pub operator_namespace: Option<String>,
    /// The name of the webhook configuration and of the operator's Deployment; `None` means that the
    /// configuration is found by its entry.
    pub operator_name: Option<String>,
    /// The name of the certificate's Secret; `None` means the one named in the Deployment.
    pub certificate_secret: Option<String>,
}

/// An installation, as far as it could be read.
#[derive(Clone, Debug)]
pub struct CheckInput {
    /// Seconds since 1970.
    pub(super) now: i64,
    /// Major version, minor version and the version string of the API server.
    pub(super) version: Fetched<(u32, u32, String)>,
    pub(super) crd: Fetched<CustomResourceDefinition>,
    pub(super) operator: OperatorObjects,
    pub(super) certificate_secret: Fetched<Secret>,
    /// The namespace of the dry run, and the pod as the API server would store it.
    pub(super) dry_run: (String, Fetched<Pod>),
    pub(super) trace_buffers: Fetched<Vec<TraceBuffer>>,
    /// The namespaces, by their metadata.
    pub(super) namespaces: Vec<ObjectMeta>,
    /// Whether only the `TraceBuffer`s of one namespace were read.
    pub(super) is_single_namespace: bool,
    pub(super) pods: Fetched<Vec<PartialObjectMeta<Pod>>>,
    pub(super) injected_pods: Fetched<Vec<Pod>>,
}

impl CheckInput {
    /// Reads the installation; `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// The error of the connection if the API server does not respond.
    pub async fn read(
        client: &Client,
        scope: &DiagnosisScope,
        now: i64,
    ) -> Result<Self, kube::Error> {
        let version = fetch_version(client).await?;
        let (name, namespace) = (&scope.operator_name, &scope.operator_namespace);
        let operator = OperatorObjects::read(client, name.as_deref(), namespace.as_deref()).await;
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        let by_label = ListParams::default()
            .fields(ACTIVE_PODS)
            .labels(&format!("{}=true", names::INJECTED_LABEL));
        let pods: Api<Pod> = scoped_api(client, scope);
        let namespaces = fetch_namespaces(client, scope).await;
        Ok(Self {
            now,
            version,
            crd: Fetched::from_result(crds.get(TraceBuffer::crd_name()).await),
            certificate_secret: fetch_certificate_secret(client, scope, &operator).await,
            dry_run: create_dry_run_pod(client, scope, &operator).await,
            operator,
            trace_buffers: list(&scoped_api(client, scope), &ListParams::default()).await,
            namespaces,
            is_single_namespace: scope.namespace.is_some(),
            pods: list_metadata(&pods, &ListParams::default().fields(ACTIVE_PODS)).await,
            injected_pods: list(&pods, &by_label).await,
        })
    }
}

fn scoped_api<K>(client: &Client, scope: &DiagnosisScope) -> Api<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    match &scope.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Fetches the version, which also tests the connection.
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

async fn fetch_namespaces(client: &Client, scope: &DiagnosisScope) -> Vec<ObjectMeta> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = list_metadata(&api, &ListParams::default()).await;
    let all = found.get().into_iter().flatten();
    let here = |one: &&PartialObjectMeta<Namespace>| {
        scope.namespace.as_ref().is_none_or(|only| *only == one.name_any())
    };
    all.filter(here).map(|one| one.metadata.clone()).collect()
}

async fn fetch_certificate_secret(
    client: &Client,
    scope: &DiagnosisScope,
    operator: &OperatorObjects,
) -> Fetched<Secret> {
    if operator.namespace.is_empty() {
        return Fetched::NotFound;
    }
    let named =
        scope.certificate_secret.as_deref().or_else(|| operator.env_var(CERTIFICATE_SECRET_VAR));
    let api: Api<Secret> = Api::namespaced(client.clone(), &operator.namespace);
    Fetched::from_result(api.get(named.unwrap_or(DEFAULT_CERTIFICATE_SECRET)).await)
}

/// Creates a pod that asks for a sidecar as a dry run, which stores nothing: the only proof that the API
/// server can reach the webhook and trusts it.
async fn create_dry_run_pod(
    client: &Client,
    scope: &DiagnosisScope,
    operator: &OperatorObjects,
) -> (String, Fetched<Pod>) {
    let given = scope.namespace.as_deref().unwrap_or_else(|| client.default_namespace());
    // The webhook is not called for excluded namespaces.
    let namespace = if operator.cluster_facts().excludes(given) { "default" } else { given };
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = PostParams { dry_run: true, field_manager: Some(names::FIELD_MANAGER.to_owned()) };
    (namespace.to_owned(), Fetched::from_result(api.create(&params, &dry_run_pod()).await))
}

/// Returns a pod that the restricted Pod Security Standard admits.
fn dry_run_pod() -> Pod {
    let annotations = BTreeMap::from([(names::INJECT_KEY.to_owned(), "true".to_owned())]);
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
