//! The Secret that holds the webhook's TLS material, and the webhook's configuration that publishes its
//! CA bundle.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use json_patch::merge;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Patch;
use kube::{Api, Client, Error, ResourceExt};
use serde_json::{Value, json};

use crate::adapters::files::{self, FileReads};
use crate::adapters::kubernetes::call::{CallError, patch_params, post_params, with_timeout};
use crate::adapters::kubernetes::names::{
    CA_BUNDLE_PUBLISHED_ANNOTATION, CA_BUNDLE_PUBLISHER_ANNOTATION, ROTATE_ANNOTATION,
    ROTATED_ANNOTATION,
};
use crate::ports::operator::certificates::{
    AssignedPublisher, CertificateStore, Publication, StoreError, Versioned, WebhookTls,
};

const BUNDLE: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
pub(super) const TLS_CERT: &str = "tls.crt";
pub(super) const TLS_KEY: &str = "tls.key";
/// Maximum bytes read from the file of the authorities.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The names of the objects, and the mode of the operator that uses them.
#[derive(Clone, Debug)]
pub struct CertificateObjectNames {
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The `MutatingWebhookConfiguration`.
    pub configuration: String,
    /// `certificates.mode` of the chart: part of the publisher's identity.
    pub mode: &'static str,
}

/// The two objects behind the API server.
#[derive(Clone)]
pub struct KubeCertificateStore {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    client: Client,
    names: CertificateObjectNames,
    /// The file with the authorities, if they are not in the Secret.
    ca_file: Option<PathBuf>,
    file_reads: FileReads,
}

impl KubeCertificateStore {
    /// Creates the store; the objects need not exist.
    #[must_use]
    pub fn new(client: Client, names: CertificateObjectNames) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &names.namespace),
            configurations: Api::all(client.clone()),
            client,
            names,
            ca_file: None,
            file_reads: FileReads::default(),
        }
    }

    /// Reads the authorities from a file instead of the Secret.
    #[must_use]
    pub fn with_ca_file(self, file: Option<PathBuf>) -> Self {
        Self { ca_file: file, ..self }
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(super) fn names(&self) -> &CertificateObjectNames {
        &self.names
    }

    /// Reads the file of the authorities, if one is set.
    pub(super) async fn read_ca_file(&self) -> Option<Result<Vec<u8>, String>> {
        let path = self.ca_file.clone()?;
        let at = path.display().to_string();
        let read = self.file_reads.run(move || read_authorities(&path)).await.flatten();
        Some(read.map_err(|error| format!("{at}: cannot be read: {error}")))
    }

    /// The identity of this publisher in the configuration's annotations.
    fn publisher_id(&self) -> String {
        format!("{}/{}", self.names.mode, self.names.secret)
    }

    fn publication(&self, configuration: MutatingWebhookConfiguration) -> Publication {
        let annotation = |key: &str| configuration.annotations().get(key);
        let identity = self.publisher_id();
        let assigned_publisher = match annotation(CA_BUNDLE_PUBLISHER_ANNOTATION) {
            None => AssignedPublisher::Unassigned,
            Some(named) if *named == identity => AssignedPublisher::Us,
            Some(_) => AssignedPublisher::Other,
        };
        let published_by_other = assigned_publisher != AssignedPublisher::Unassigned
            && annotation(CA_BUNDLE_PUBLISHED_ANNOTATION).is_none_or(|named| *named != identity);
        Publication {
            generation: generation(&configuration),
            assigned_publisher,
            published_by_other,
            bundles: ca_bundles(configuration),
        }
    }

    fn store_error(verb: &'static str, what: String) -> impl FnOnce(CallError) -> StoreError {
        move |error| match error.code() {
            Some(409) => StoreError::Conflict,
            Some(403) => StoreError::Failed(format!(
                "{what}: the operator may not {verb} it ({error}); correct the chart's Role"
            )),
            _ => StoreError::Failed(format!("{what}: cannot {verb} it: {error}")),
        }
    }
}

impl CertificateStore for KubeCertificateStore {
    async fn read_tls(&self) -> Result<Option<Versioned<WebhookTls>>, StoreError> {
        let read = with_timeout(self.secrets.get_opt(&self.names.secret)).await;
        let secret = read.map_err(Self::store_error("get", self.tls_location()))?;
        let authorities = self.read_ca_file().await.transpose().map_err(StoreError::Failed)?;
        Ok(secret.map(|secret| Versioned {
            version: secret.resource_version().unwrap_or_default(),
            value: match authorities {
                Some(bundle) => WebhookTls { bundle, ..tls_from_secret(secret) },
                None => tls_from_secret(secret),
            },
        }))
    }

    async fn write_tls(&self, tls: &WebhookTls, version: Option<&str>) -> Result<(), StoreError> {
        let ours = tls_to_secret(tls);
        let written = if let Some(version) = version {
            let mut patch = json!({ "metadata": { "resourceVersion": version } });
            merge(&mut patch, &ours);
            let (params, patch) = (patch_params(), Patch::Merge(patch));
            with_timeout(self.secrets.patch(&self.names.secret, &params, &patch)).await
        } else {
            let mut new =
                json!({ "type": "kubernetes.io/tls", "metadata": { "name": self.names.secret } });
            merge(&mut new, &ours);
            match serde_json::from_value(new) {
                Ok(secret) => with_timeout(self.secrets.create(&post_params(), &secret)).await,
                Err(error) => Err(CallError::Kube(Error::SerdeError(error))),
            }
        };
        written.map(drop).map_err(Self::store_error("write", self.tls_location()))
    }

    async fn read_publication(&self) -> Result<Option<Versioned<Publication>>, StoreError> {
        let read = with_timeout(self.configurations.get_opt(&self.names.configuration)).await;
        let configuration = read.map_err(Self::store_error("get", self.publication_location()))?;
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
        // Without an assigned publisher the object may have no annotations to add one to.
        let annotation = (published.value.assigned_publisher == AssignedPublisher::Us).then(|| {
            let path = format!(
                "/metadata/annotations/{}",
                CA_BUNDLE_PUBLISHED_ANNOTATION.replace('/', "~1")
            );
            json!({ "op": "add", "path": path, "value": self.publisher_id() })
        });
        let operations: Vec<Value> =
            [version].into_iter().chain(entries).chain(annotation).collect();
        let patch = serde_json::from_value(Value::Array(operations)).map(Patch::Json::<()>);
        let written = match patch {
            Ok(patch) => {
                let (name, params) = (&self.names.configuration, patch_params());
                with_timeout(self.configurations.patch(name, &params, &patch)).await
            }
            Err(error) => Err(CallError::Kube(Error::SerdeError(error))),
        };
        written.map(drop).map_err(Self::store_error("patch", self.publication_location()))
    }

    fn publication_location(&self) -> String {
        format!("MutatingWebhookConfiguration {}", self.names.configuration)
    }

    fn tls_location(&self) -> String {
        format!("Secret {}/{}", self.names.namespace, self.names.secret)
    }
}

/// Returns the bundle of each entry, empty where there is none.
pub(super) fn ca_bundles(configuration: MutatingWebhookConfiguration) -> Vec<Vec<u8>> {
    let entries = configuration.webhooks.unwrap_or_default().into_iter();
    entries.map(|entry| entry.client_config.ca_bundle.map_or_else(Vec::new, |pem| pem.0)).collect()
}

/// Identifies the content of the webhook entries: `metadata.generation`, unlike the resource version,
/// does not change with labels or annotations.
fn generation(configuration: &MutatingWebhookConfiguration) -> String {
    let uid = configuration.uid().unwrap_or_default();
    match configuration.metadata.generation {
        Some(generation) => format!("{uid}/{generation}"),
        None => format!("{uid}/version {}", configuration.resource_version().unwrap_or_default()),
    }
}

fn tls_from_secret(secret: Secret) -> WebhookTls {
    let annotation = |key: &str| secret.annotations().get(key).cloned();
    let (rotation_requested, rotation_handled) =
        (annotation(ROTATE_ANNOTATION), annotation(ROTATED_ANNOTATION));
    let mut data = secret.data.unwrap_or_default();
    let mut take = |key: &str| data.remove(key).unwrap_or_default().0;
    WebhookTls {
        bundle: take(BUNDLE),
        authority_key: take(AUTHORITY_KEY),
        leaf: take(TLS_CERT),
        leaf_key: take(TLS_KEY),
        rotation_requested,
        rotation_handled,
    }
}

/// The part of the Secret that the operator writes: everything but the request for a rotation.
fn tls_to_secret(tls: &WebhookTls) -> Value {
    let data: BTreeMap<&str, ByteString> = [
        (BUNDLE, &tls.bundle),
        (AUTHORITY_KEY, &tls.authority_key),
        (TLS_CERT, &tls.leaf),
        (TLS_KEY, &tls.leaf_key),
    ]
    .into_iter()
    .map(|(key, value)| (key, ByteString(value.clone())))
    .collect();
    json!({ "metadata": { "annotations": { (ROTATED_ANNOTATION): tls.rotation_handled } }, "data": data })
}

fn read_authorities(path: &Path) -> io::Result<Vec<u8>> {
    files::read_bounded(path, MAX_FILE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_beyond_the_bound_is_refused_and_never_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.crt");
        std::fs::File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();

        let error = read_authorities(&path).map(|bytes| bytes.len()).unwrap_err();

        assert_eq!(error.to_string(), "it is larger than 1Mi");
    }
}
