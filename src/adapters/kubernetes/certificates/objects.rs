//! The Secret that holds the keyring, and the webhook's configuration that publishes its bundle.

use std::collections::BTreeMap;

use json_patch::merge;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Error, ResourceExt};
use serde_json::{Value, json};

use crate::adapters::kubernetes::names::{FIELD_MANAGER, ROTATE, ROTATED};
use crate::ports::certificates::{CertificateStore, Keyring, Publication, StoreError, Versioned};

const BUNDLE: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
pub(super) const LEAF: &str = "tls.crt";
pub(super) const LEAF_KEY: &str = "tls.key";

/// The two objects, by name.
#[derive(Clone)]
pub struct CertificateObjects {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    namespace: String,
    secret: String,
    configuration: String,
}

impl CertificateObjects {
    /// The Secret `secret` of `namespace` and the `MutatingWebhookConfiguration` `configuration`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, secret: &str, configuration: &str) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            configurations: Api::all(client),
            namespace: namespace.to_owned(),
            secret: secret.to_owned(),
            configuration: configuration.to_owned(),
        }
    }

    pub(super) fn secrets(&self) -> (Api<Secret>, &str) {
        (self.secrets.clone(), &self.secret)
    }

    pub(super) fn configurations(&self) -> (Api<MutatingWebhookConfiguration>, &str) {
        (self.configurations.clone(), &self.configuration)
    }

    /// Names the Secret in messages.
    pub(super) fn keeper(&self) -> String {
        format!("Secret {}/{}", self.namespace, self.secret)
    }

    fn failed(verb: &'static str, what: String) -> impl FnOnce(Error) -> StoreError {
        move |error| match error {
            Error::Api(status) if status.is_conflict() || status.is_already_exists() => {
                StoreError::Conflict
            }
            Error::Api(status) if status.is_forbidden() => StoreError::Failed(format!(
                "{what}: the operator may not {verb} it ({}); correct the chart's Role",
                status.message
            )),
            error => StoreError::Failed(format!("{what}: cannot {verb} it: {error}")),
        }
    }
}

impl CertificateStore for CertificateObjects {
    async fn keyring(&self) -> Result<Option<Versioned<Keyring>>, StoreError> {
        let read = self.secrets.get_opt(&self.secret).await;
        let secret = read.map_err(Self::failed("get", self.keeper()))?;
        Ok(secret.map(|secret| Versioned {
            version: secret.resource_version().unwrap_or_default(),
            value: keyring(secret),
        }))
    }

    async fn keep(&self, keyring: &Keyring, version: Option<&str>) -> Result<(), StoreError> {
        let ours = secret(keyring);
        let written = if let Some(version) = version {
            let mut patch = json!({ "metadata": { "resourceVersion": version } });
            merge(&mut patch, &ours);
            self.secrets.patch(&self.secret, &patching(), &Patch::Merge(patch)).await
        } else {
            let mut new =
                json!({ "type": "kubernetes.io/tls", "metadata": { "name": self.secret } });
            merge(&mut new, &ours);
            match serde_json::from_value(new) {
                Ok(secret) => self.secrets.create(&creating(), &secret).await,
                Err(error) => Err(Error::SerdeError(error)),
            }
        };
        written.map(drop).map_err(Self::failed("write", self.keeper()))
    }

    async fn published(&self) -> Result<Option<Versioned<Publication>>, StoreError> {
        let read = self.configurations.get_opt(&self.configuration).await;
        let configuration = read.map_err(Self::failed("get", self.publisher()))?;
        Ok(configuration.map(|configuration| Versioned {
            version: configuration.resource_version().unwrap_or_default(),
            value: Publication {
                generation: generation(&configuration),
                bundles: bundles(configuration),
            },
        }))
    }

    async fn publish(
        &self,
        bundle: &[u8],
        published: &Versioned<Publication>,
    ) -> Result<(), StoreError> {
        let bundle = ByteString(bundle.to_vec());
        let version = json!({
            "op": "replace", "path": "/metadata/resourceVersion", "value": published.version,
        });
        let entries = (0..published.value.bundles.len()).map(|entry| {
            let path = format!("/webhooks/{entry}/clientConfig/caBundle");
            json!({ "op": "add", "path": path, "value": bundle })
        });
        let operations: Vec<Value> = [version].into_iter().chain(entries).collect();
        let patch = serde_json::from_value(Value::Array(operations)).map(Patch::Json::<()>);
        let written = match patch {
            Ok(patch) => self.configurations.patch(&self.configuration, &patching(), &patch).await,
            Err(error) => Err(Error::SerdeError(error)),
        };
        written.map(drop).map_err(Self::failed("patch", self.publisher()))
    }

    fn publisher(&self) -> String {
        format!("MutatingWebhookConfiguration {}", self.configuration)
    }
}

/// Returns the bundle of each entry, empty where there is none.
pub(super) fn bundles(configuration: MutatingWebhookConfiguration) -> Vec<Vec<u8>> {
    let entries = configuration.webhooks.unwrap_or_default().into_iter();
    entries.map(|entry| entry.client_config.ca_bundle.map_or_else(Vec::new, |pem| pem.0)).collect()
}

/// The API server counts changes of the entries, not of labels and the like.
fn generation(configuration: &MutatingWebhookConfiguration) -> String {
    let uid = configuration.uid().unwrap_or_default();
    match configuration.metadata.generation {
        Some(generation) => format!("{uid}/{generation}"),
        None => format!("{uid}/version {}", configuration.resource_version().unwrap_or_default()),
    }
}

fn keyring(secret: Secret) -> Keyring {
    let annotation = |key: &str| secret.annotations().get(key).cloned();
    let (rotation_asked, rotation_done) = (annotation(ROTATE), annotation(ROTATED));
    let mut data = secret.data.unwrap_or_default();
    let mut take = |key: &str| data.remove(key).unwrap_or_default().0;
    Keyring {
        bundle: take(BUNDLE),
        authority_key: take(AUTHORITY_KEY),
        leaf: take(LEAF),
        leaf_key: take(LEAF_KEY),
        rotation_asked,
        rotation_done,
    }
}

/// The part of the Secret that is ours to write; the request for a rotation is not.
fn secret(keyring: &Keyring) -> Value {
    let data: BTreeMap<&str, ByteString> = [
        (BUNDLE, &keyring.bundle),
        (AUTHORITY_KEY, &keyring.authority_key),
        (LEAF, &keyring.leaf),
        (LEAF_KEY, &keyring.leaf_key),
    ]
    .into_iter()
    .map(|(key, value)| (key, ByteString(value.clone())))
    .collect();
    json!({ "metadata": { "annotations": { (ROTATED): keyring.rotation_done } }, "data": data })
}

fn patching() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

fn creating() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
