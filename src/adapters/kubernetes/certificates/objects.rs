//! The Secret that holds the keyring, and the webhook's configuration that publishes its bundle.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;

use json_patch::merge;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Error, ResourceExt};
use serde_json::{Value, json};

use crate::adapters::kubernetes::names::{
    CERTIFICATES, CERTIFICATES_PUBLISHED, FIELD_MANAGER, ROTATE, ROTATED,
};
use crate::ports::certificates::{
    CertificateStore, Keyring, Mandate, Publication, StoreError, Versioned,
};

const BUNDLE: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
pub(super) const LEAF: &str = "tls.crt";
pub(super) const LEAF_KEY: &str = "tls.key";
/// Most bytes that are read of a file.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Where the objects are, and whose they are.
#[derive(Clone, Debug)]
pub struct Names {
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The `MutatingWebhookConfiguration`.
    pub configuration: String,
    /// `certificates.mode` of the chart.
    pub mode: &'static str,
}

/// The two objects, by name.
#[derive(Clone)]
pub struct CertificateObjects {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    names: Names,
    /// Where the authorities are, if not in the Secret.
    authorities: Option<PathBuf>,
}

impl CertificateObjects {
    /// The objects of these names, whether they exist or not.
    #[must_use]
    pub fn new(client: Client, names: Names) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &names.namespace),
            configurations: Api::all(client),
            names,
            authorities: None,
        }
    }

    /// The same, with the authorities in a file.
    #[must_use]
    pub fn with_authorities(self, file: Option<PathBuf>) -> Self {
        Self { authorities: file, ..self }
    }

    pub(super) fn secrets(&self) -> (Api<Secret>, &str) {
        (self.secrets.clone(), &self.names.secret)
    }

    pub(super) fn configurations(&self) -> (Api<MutatingWebhookConfiguration>, &str) {
        (self.configurations.clone(), &self.names.configuration)
    }

    /// Reads the file of the authorities, where there is one.
    pub(super) fn authorities(&self) -> Option<Result<Vec<u8>, String>> {
        let path = self.authorities.as_ref()?;
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = vec![];
            std::fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        Some(read().map_err(|error| format!("{}: cannot read it: {error}", path.display())))
    }

    /// Who keeps the certificates here, as the configuration's annotations have it.
    fn identity(&self) -> String {
        format!("{}/{}", self.names.mode, self.names.secret)
    }

    fn publication(&self, configuration: MutatingWebhookConfiguration) -> Publication {
        let annotation = |key: &str| configuration.annotations().get(key);
        let identity = self.identity();
        let mandate = match annotation(CERTIFICATES) {
            None => Mandate::Unsaid,
            Some(named) if *named == identity => Mandate::Ours,
            Some(_) => Mandate::Anothers,
        };
        let by_another = mandate != Mandate::Unsaid
            && annotation(CERTIFICATES_PUBLISHED).is_none_or(|named| *named != identity);
        Publication {
            generation: generation(&configuration),
            mandate,
            by_another,
            bundles: bundles(configuration),
        }
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
        let read = self.secrets.get_opt(&self.names.secret).await;
        let secret = read.map_err(Self::failed("get", self.keeper()))?;
        let authorities = self.authorities().transpose().map_err(StoreError::Failed)?;
        Ok(secret.map(|secret| Versioned {
            version: secret.resource_version().unwrap_or_default(),
            value: match authorities {
                Some(bundle) => Keyring { bundle, ..keyring(secret) },
                None => keyring(secret),
            },
        }))
    }

    async fn keep(&self, keyring: &Keyring, version: Option<&str>) -> Result<(), StoreError> {
        let ours = secret(keyring);
        let written = if let Some(version) = version {
            let mut patch = json!({ "metadata": { "resourceVersion": version } });
            merge(&mut patch, &ours);
            self.secrets.patch(&self.names.secret, &patching(), &Patch::Merge(patch)).await
        } else {
            let mut new =
                json!({ "type": "kubernetes.io/tls", "metadata": { "name": self.names.secret } });
            merge(&mut new, &ours);
            match serde_json::from_value(new) {
                Ok(secret) => self.secrets.create(&creating(), &secret).await,
                Err(error) => Err(Error::SerdeError(error)),
            }
        };
        written.map(drop).map_err(Self::failed("write", self.keeper()))
    }

    async fn published(&self) -> Result<Option<Versioned<Publication>>, StoreError> {
        let read = self.configurations.get_opt(&self.names.configuration).await;
        let configuration = read.map_err(Self::failed("get", self.publisher()))?;
        Ok(configuration.map(|configuration| Versioned {
            version: configuration.resource_version().unwrap_or_default(),
            value: self.publication(configuration),
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
        // Where nobody said whose task it is, perhaps there are no annotations to add one to.
        let note = (published.value.mandate == Mandate::Ours).then(|| {
            let path =
                format!("/metadata/annotations/{}", CERTIFICATES_PUBLISHED.replace('/', "~1"));
            json!({ "op": "add", "path": path, "value": self.identity() })
        });
        let operations: Vec<Value> = [version].into_iter().chain(entries).chain(note).collect();
        let patch = serde_json::from_value(Value::Array(operations)).map(Patch::Json::<()>);
        let written = match patch {
            Ok(patch) => {
                self.configurations.patch(&self.names.configuration, &patching(), &patch).await
            }
            Err(error) => Err(Error::SerdeError(error)),
        };
        written.map(drop).map_err(Self::failed("patch", self.publisher()))
    }

    fn publisher(&self) -> String {
        format!("MutatingWebhookConfiguration {}", self.names.configuration)
    }

    fn keeper(&self) -> String {
        format!("Secret {}/{}", self.names.namespace, self.names.secret)
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
