//! The files a sidecar reads.
//!
//! Every reference is optional: a Secret that is not there must never keep a pod from starting. The
//! receiver says which file is missing, buffers meanwhile, and reads it when it appears.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIVolumeFile, DownwardAPIVolumeSource, KeyToPath,
    ObjectFieldSelector, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount,
    VolumeProjection,
};

use super::checked::SecretHeader;
use crate::adapters::kubernetes::names::{
    DESTINATION_PATH, DESTINATION_VOLUME, LIMITS as LIMITS_ANNOTATION, POD_INFO_PATH,
    POD_INFO_VOLUME,
};
use crate::adapters::kubernetes::resource::{DestinationTls, KeyReference};

/// The file of limits in the pod's own volume.
pub(super) const LIMITS: &str = "limits";

const CA: &str = "ca.crt";
const CLIENT_CERTIFICATE: &str = "client.crt";
const CLIENT_KEY: &str = "client.key";
const HEADERS: &str = "headers";

/// Where the API server mounts the service account's token into every container that mounts nothing
/// there itself. A sidecar has no use for a token, and so none to lose.
const API_TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Readable for whoever the sidecar runs as, writable for nobody.
const READ_ONLY: i32 = 0o444;

/// Returns where the value of header `name` is.
pub(super) fn header_path(name: &str) -> String {
    format!("{DESTINATION_PATH}/{HEADERS}/{name}")
}

/// Returns the settings that name files of certificates, and those files.
pub(super) fn tls_paths(tls: Option<&DestinationTls>) -> Vec<(&'static str, String)> {
    let Some(tls) = tls else { return Vec::new() };
    let mut paths = Vec::new();
    let mut add = |setting, file| paths.push((setting, format!("{DESTINATION_PATH}/{file}")));
    if tls.ca_config_map_ref.is_some() || tls.ca_secret_ref.is_some() {
        add("CA_FILE", CA);
    }
    if tls.client_secret_name.is_some() {
        add("CLIENT_CERTIFICATE_FILE", CLIENT_CERTIFICATE);
        add("CLIENT_KEY_FILE", CLIENT_KEY);
    }
    paths
}

/// Returns the volumes: the pod's limits, and whatever the destination needs.
pub(super) fn volumes(tls: Option<&DestinationTls>, headers: &[SecretHeader]) -> Vec<Volume> {
    let mut volumes = vec![pod_info()];
    let sources: Vec<_> = tls
        .map(tls_sources)
        .unwrap_or_default()
        .into_iter()
        .chain(headers.iter().map(header_source))
        .collect();
    if !sources.is_empty() {
        volumes.push(Volume {
            name: DESTINATION_VOLUME.to_owned(),
            projected: Some(ProjectedVolumeSource {
                default_mode: Some(READ_ONLY),
                sources: Some(sources),
            }),
            ..Volume::default()
        });
    }
    volumes
}

/// Returns where each of `volumes` is seen in the container, and what hides the pod's API token.
pub(super) fn mounts(volumes: &[Volume]) -> Vec<VolumeMount> {
    let path = |volume: &Volume| match volume.name.as_str() {
        POD_INFO_VOLUME => POD_INFO_PATH,
        _ => DESTINATION_PATH,
    };
    let seen = volumes.iter().map(|volume| mount(&volume.name, path(volume)));
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

fn pod_info() -> Volume {
    let field = ObjectFieldSelector {
        field_path: format!("metadata.annotations['{LIMITS_ANNOTATION}']"),
        ..ObjectFieldSelector::default()
    };
    let file = DownwardAPIVolumeFile {
        path: LIMITS.to_owned(),
        field_ref: Some(field),
        ..DownwardAPIVolumeFile::default()
    };
    Volume {
        name: POD_INFO_VOLUME.to_owned(),
        downward_api: Some(DownwardAPIVolumeSource {
            default_mode: Some(READ_ONLY),
            items: Some(vec![file]),
        }),
        ..Volume::default()
    }
}

fn tls_sources(tls: &DestinationTls) -> Vec<VolumeProjection> {
    let client = tls
        .client_secret_name
        .as_ref()
        .map(|name| secret(name, [("tls.crt", CLIENT_CERTIFICATE), ("tls.key", CLIENT_KEY)]));
    let ca_secret = tls.ca_secret_ref.as_ref().map(|from| secret(&from.name, [(&*from.key, CA)]));
    let ca_config_map = tls.ca_config_map_ref.as_ref().map(ca_config_map);
    ca_config_map.into_iter().chain(ca_secret).chain(client).collect()
}

fn ca_config_map(from: &KeyReference) -> VolumeProjection {
    VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: from.name.clone(),
            items: Some(vec![item(&from.key, CA)]),
            optional: Some(true),
        }),
        ..VolumeProjection::default()
    }
}

fn header_source(header: &SecretHeader) -> VolumeProjection {
    let path = format!("{HEADERS}/{}", header.name);
    secret(&header.reference.name, [(&*header.reference.key, &*path)])
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
