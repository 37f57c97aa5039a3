//! The sidecar that a `TraceBuffer` describes, independent of the pod it is injected into.

mod container;
pub(in crate::adapters::kubernetes) mod environment;
mod resources;
mod spec_hash;
mod validate;
mod validated;
mod volumes;
mod warnings;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, LocalObjectReference, Volume};

use self::validated::{ProjectedFile, ValidatedSpec};
use super::resource::validation::{FieldError, ValidationErrors};
use super::resource::{
    ApplicationEnvironment, ResourceAttributes, SidecarModeSpec, TraceBuffer, TraceBufferSpec,
};
use crate::domain::limits::BufferLimits;
use crate::domain::operator::injection::consent::{AllowedNamespaces, CredentialUse};
use crate::domain::operator::injection::trace_buffer_view::{
    SidecarMode, SidecarPorts, TraceBufferView,
};
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::trace_buffer_snapshot::DesiredSidecar;

/// A sidecar, built once for each change of its `TraceBuffer`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// The UID of the `TraceBuffer`; empty for one from a file.
    pub uid: String,
    /// How the sidecar runs in its pod.
    pub mode: SidecarMode,
    /// The ports it listens on.
    pub ports: SidecarPorts,
    /// The container, complete except for `restartPolicy`, which depends on the mode.
    pub container: Container,
    /// The volumes it mounts.
    pub volumes: Vec<Volume>,
    /// The credentials of the pod's namespace that it uses.
    pub credentials: CredentialUse,
    /// The namespaces whose pods may use it.
    pub allowed_namespaces: AllowedNamespaces,
    /// The Secrets for pulling its image.
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// The OTLP endpoint set in the application's containers unless they set one; `None` leaves them
    /// unchanged.
    pub application_endpoint: Option<String>,
    /// Whether the application's containers get resource attributes with the names of Kubernetes.
    pub sets_resource_attributes: bool,
    /// Whether the `TraceBuffer` sets the resources, which are then used verbatim.
    pub has_explicit_resources: bool,
    /// Whether the `TraceBuffer` sets the user, or leaves it to the platform.
    pub has_explicit_user: bool,
    /// The buffer limits, which running sidecars follow.
    pub limits: BufferLimits,
    /// Maximum time for draining at shutdown, in whole seconds, rounded up.
    pub drain_timeout_seconds: u32,
    /// A digest of everything that only a new pod picks up, which excludes limits and the operator's
    /// default image.
    pub hash: String,
}

/// The operator's defaults for what a `TraceBuffer` does not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarDefaults {
    /// The image.
    pub image: String,
    /// The pull policy of that image; `None` leaves it to Kubernetes.
    pub image_pull_policy: Option<String>,
    /// The audiences of the API server, for which no token may be requested.
    pub api_audiences: Vec<String>,
}

impl Sidecar {
    /// Returns what decides whether the sidecar of a running pod is current.
    #[must_use]
    pub fn desired(&self) -> DesiredSidecar {
        DesiredSidecar { hash: self.hash.clone(), limits: self.limits }
    }
}

impl SidecarDefaults {
    /// Returns placeholders, for callers that need the spec only.
    #[must_use]
    pub fn unknown() -> Self {
        Self { image: String::new(), image_pull_policy: None, api_audiences: vec![] }
    }
}

/// Builds the sidecar that `object` describes.
///
/// # Errors
///
/// All errors of its spec.
pub fn build(
    object: &TraceBuffer,
    defaults: &SidecarDefaults,
) -> Result<Sidecar, ValidationErrors> {
    let spec = &object.spec;
    let checked = validate::validate(object, &defaults.api_audiences)?;
    let volumes = volumes::volumes(spec.destination.tls.as_ref(), &checked.destination);
    Ok(Sidecar {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        mode: match spec.sidecar.mode {
            SidecarModeSpec::Native => SidecarMode::Native,
            SidecarModeSpec::Container => SidecarMode::Container,
        },
        ports: checked.ports,
        container: container::container(spec, &checked, defaults, &volumes),
        credentials: credentials(spec, &checked),
        allowed_namespaces: checked.allowed_namespaces.clone(),
        volumes,
        image_pull_secrets: image_pull_secrets(spec),
        application_endpoint: application_endpoint(spec, &checked),
        sets_resource_attributes: spec
            .application
            .as_ref()
            .is_some_and(|given| given.resource_attributes == ResourceAttributes::IfUnset),
        has_explicit_resources: spec.sidecar.resources.is_some(),
        has_explicit_user: spec.sidecar.security_context.is_some(),
        limits: checked.limits,
        drain_timeout_seconds: u32::try_from(checked.drain_timeout_ms.div_ceil(1_000))
            .unwrap_or(u32::MAX),
        hash: spec_hash::spec_hash(spec),
    })
}

/// Returns warnings about the spec of `object`; none if it has errors.
#[must_use]
pub fn warnings(object: &TraceBuffer) -> Vec<FieldError> {
    let spec = &object.spec;
    validate::validate(object, &[])
        .map(|checked| warnings::warnings(spec, &checked))
        .unwrap_or_default()
}

/// Returns what the injection decision needs to know of `object`.
#[must_use]
pub fn trace_buffer_view(
    object: &TraceBuffer,
    defaults: &SidecarDefaults,
) -> TraceBufferView<Sidecar> {
    let sidecar = build(object, defaults);
    // An invalid spec is visible only to pods of its own namespace, which report its errors.
    let allowed_namespaces = sidecar.as_ref().map(|sidecar| sidecar.allowed_namespaces.clone());
    TraceBufferView {
        key: ObjectKey {
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
        },
        allowed_namespaces: allowed_namespaces.unwrap_or_default(),
        sidecar: sidecar.map(Arc::new).map_err(|errors| errors.in_one_line()),
    }
}

/// Counts everything that is resolved in the pod's namespace, image pull secrets included.
fn credentials(spec: &TraceBufferSpec, checked: &ValidatedSpec) -> CredentialUse {
    let of_file = |file: &ProjectedFile| match file {
        ProjectedFile::ServiceAccountToken { .. } => CredentialUse::ServiceAccountToken,
        ProjectedFile::Secret(_) | ProjectedFile::ConfigMap(_) => CredentialUse::References,
        ProjectedFile::DownwardApiField(_) => CredentialUse::None,
    };
    let of_headers = checked.destination.projected_files().map(|(_, file, _)| of_file(file)).max();
    let tls = spec.destination.tls.as_ref();
    let has_files =
        tls.is_some_and(|tls| tls.ca.is_some() || tls.client_certificate_secret_ref.is_some());
    let has_references = has_files || !spec.sidecar.image_pull_secrets.is_empty();
    let of_others = if has_references { CredentialUse::References } else { CredentialUse::None };
    of_headers.unwrap_or_default().max(of_others)
}

fn image_pull_secrets(spec: &TraceBufferSpec) -> Vec<LocalObjectReference> {
    let secrets = spec.sidecar.image_pull_secrets.iter();
    secrets.map(|secret| LocalObjectReference { name: secret.name.clone() }).collect()
}

/// The sidecar accepts every protocol on that port, so one address fits every exporter. Ruby's refuses an
/// endpoint without a path.
fn application_endpoint(spec: &TraceBufferSpec, checked: &ValidatedSpec) -> Option<String> {
    match spec.sidecar.application_environment {
        ApplicationEnvironment::IfUnset => {
            Some(format!("http://127.0.0.1:{}/", checked.ports.grpc))
        }
        ApplicationEnvironment::Never => None,
    }
}

#[cfg(test)]
mod tests;
