//! The files a sidecar reads.
//!
//! Every reference is optional: a missing Secret must not keep a pod from starting. The receiver reports
//! which file is missing, buffers meanwhile, and reads the file when it appears.
//!
//! A service account token is the exception: Kubernetes has no optional tokens, and a token that cannot
//! be issued fails its whole volume. So each token has a volume of its own and blocks no other file.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIVolumeFile, DownwardAPIVolumeSource, KeyToPath,
    ObjectFieldSelector, ProjectedVolumeSource, SecretProjection, ServiceAccountTokenProjection,
    Volume, VolumeMount, VolumeProjection,
};

use super::validated::{ProjectedFile, ValidatedDestination};
use crate::adapters::kubernetes::names::{
    DESTINATION_PATH, DESTINATION_VOLUME, LIMITS_ANNOTATION, POD_INFO_PATH, POD_INFO_VOLUME,
    TOKEN_PATH, TOKEN_VOLUME,
};
use crate::adapters::kubernetes::resource::{DestinationTls, KeyReference};

/// The file of limits in the pod's own volume.
pub(super) const LIMITS_FILE: &str = "limits";

const CA_FILE: &str = "ca.crt";
const CLIENT_CERTIFICATE_FILE: &str = "client.crt";
const CLIENT_KEY_FILE: &str = "client.key";
const HEADERS_DIRECTORY: &str = "headers";
const TOKEN_FILE: &str = "token";

/// Where the API server mounts the service account's token into every container that mounts nothing
/// there itself. A sidecar does not need the token, so it must not have it.
const API_TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Readable by every user the sidecar may run as, writable by none.
const READ_ONLY_MODE: i32 = 0o444;

/// Returns where the value of header `name` is, the file at `index` of all headers' files.
pub(super) fn header_path(name: &str, file: &ProjectedFile, index: usize) -> String {
    match file {
        ProjectedFile::Secret(_) | ProjectedFile::ConfigMap(_) => {
            format!("{DESTINATION_PATH}/{HEADERS_DIRECTORY}/{name}")
        }
        ProjectedFile::DownwardApiField(_) => format!("{POD_INFO_PATH}/{HEADERS_DIRECTORY}/{name}"),
        ProjectedFile::ServiceAccountToken { .. } => format!("{TOKEN_PATH}/{index}/{TOKEN_FILE}"),
    }
}

/// Returns the TLS settings: certificate files, trusted authorities, and the server name.
pub(super) fn tls_settings(tls: Option<&DestinationTls>) -> Vec<(&'static str, String)> {
    let Some(tls) = tls else { return Vec::new() };
    let mut settings = Vec::new();
    let mut add = |setting, value: String| settings.push((setting, value));
    if tls.ca.is_some() {
        add("CA_FILE", format!("{DESTINATION_PATH}/{CA_FILE}"));
        add("TRUST_SYSTEM_ROOTS", tls.trust_system_roots.unwrap_or(false).to_string());
    }
    if tls.client_certificate_secret_ref.is_some() {
        add("CLIENT_CERTIFICATE_FILE", format!("{DESTINATION_PATH}/{CLIENT_CERTIFICATE_FILE}"));
        add("CLIENT_KEY_FILE", format!("{DESTINATION_PATH}/{CLIENT_KEY_FILE}"));
    }
    if let Some(name) = &tls.server_name {
        add("TLS_SERVER_NAME", name.clone());
    }
    settings
}

/// Returns the volumes: the pod's metadata, and the files that the destination needs.
pub(super) fn volumes(tls: Option<&DestinationTls>, to: &ValidatedDestination) -> Vec<Volume> {
    let (mut fields, mut tokens) = (vec![limits_file()], vec![]);
    let mut sources = tls.map(tls_sources).unwrap_or_default();
    for (index, (header, file, _)) in to.projected_files().enumerate() {
        let path = format!("{HEADERS_DIRECTORY}/{}", header.name);
        match file {
            ProjectedFile::Secret(from) => sources.push(secret(&from.name, [(&*from.key, &*path)])),
            ProjectedFile::ConfigMap(from) => sources.push(config_map(from, &path)),
            ProjectedFile::DownwardApiField(field) => fields.push(field_file(field, &path)),
            ProjectedFile::ServiceAccountToken { audience, expiration_seconds } => {
                tokens.push(token(index, audience, *expiration_seconds));
            }
        }
    }
    let destination =
        (!sources.is_empty()).then(|| projected(DESTINATION_VOLUME.to_owned(), sources));
    [pod_info(fields)].into_iter().chain(destination).chain(tokens).collect()
}

/// Returns the mounts of `volumes`, and an empty one that hides the pod's API token.
pub(super) fn mounts(volumes: &[Volume]) -> Vec<VolumeMount> {
    let path = |volume: &Volume| match volume.name.as_str() {
        POD_INFO_VOLUME => POD_INFO_PATH.to_owned(),
        DESTINATION_VOLUME => DESTINATION_PATH.to_owned(),
        token => {
            format!("{TOKEN_PATH}{}", token.trim_start_matches(TOKEN_VOLUME).replace('-', "/"))
        }
    };
    let seen = volumes.iter().map(|volume| mount(&volume.name, &path(volume)));
    seen.chain([mount(POD_INFO_VOLUME, API_TOKEN_PATH)]).collect()
}

fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

fn pod_info(files: Vec<DownwardAPIVolumeFile>) -> Volume {
    Volume {
        name: POD_INFO_VOLUME.to_owned(),
        downward_api: Some(DownwardAPIVolumeSource {
            default_mode: Some(READ_ONLY_MODE),
            items: Some(files),
        }),
        ..Volume::default()
    }
}

fn limits_file() -> DownwardAPIVolumeFile {
    field_file(&format!("metadata.annotations['{LIMITS_ANNOTATION}']"), LIMITS_FILE)
}

fn field_file(field: &str, path: &str) -> DownwardAPIVolumeFile {
    let field_path = field.to_owned();
    DownwardAPIVolumeFile {
        path: path.to_owned(),
        field_ref: Some(ObjectFieldSelector { field_path, api_version: None }),
        ..DownwardAPIVolumeFile::default()
    }
}

fn token(index: usize, audience: &str, expiration_seconds: i64) -> Volume {
    let source = ServiceAccountTokenProjection {
        audience: Some(audience.to_owned()),
        expiration_seconds: Some(expiration_seconds),
        path: TOKEN_FILE.to_owned(),
    };
    let source =
        VolumeProjection { service_account_token: Some(source), ..VolumeProjection::default() };
    projected(format!("{TOKEN_VOLUME}-{index}"), vec![source])
}

fn projected(name: String, sources: Vec<VolumeProjection>) -> Volume {
    Volume {
        name,
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(READ_ONLY_MODE),
            sources: Some(sources),
        }),
        ..Volume::default()
    }
}

fn tls_sources(tls: &DestinationTls) -> Vec<VolumeProjection> {
    let ca = tls.ca.as_ref();
    let ca_config_map = ca.and_then(|ca| ca.config_map_key_ref.as_ref());
    let ca_secret = ca.and_then(|ca| ca.secret_key_ref.as_ref());
    let client = tls.client_certificate_secret_ref.as_ref();
    let client = client.map(|from| {
        secret(&from.name, [("tls.crt", CLIENT_CERTIFICATE_FILE), ("tls.key", CLIENT_KEY_FILE)])
    });
    let ca_config_map = ca_config_map.map(|from| config_map(from, CA_FILE));
    let ca_secret = ca_secret.map(|from| secret(&from.name, [(&*from.key, CA_FILE)]));
    ca_config_map.into_iter().chain(ca_secret).chain(client).collect()
}

fn config_map(from: &KeyReference, path: &str) -> VolumeProjection {
    VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: from.name.clone(),
            items: Some(vec![item(&from.key, path)]),
            optional: Some(true),
        }),
        ..VolumeProjection::default()
    }
}

fn secret<const N: usize>(name: &str, files: [(&str, &str); N]) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection {
            name: name.to_owned(),
            items: Some(files.iter().map(|(key, path)| item(key, path)).collect()),
            optional: Some(true),
        }),
        ..VolumeProjection::default()
    }
}

fn item(key: &str, path: &str) -> KeyToPath {
    KeyToPath { key: key.to_owned(), path: path.to_owned(), mode: None }
}
