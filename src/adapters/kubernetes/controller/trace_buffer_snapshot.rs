//! A `TraceBuffer` as the controller sees it, made from the object.

use std::time::Duration;

use super::status;
use crate::adapters::kubernetes::resource::{RolloutSpec, RolloutStrategy, TraceBufferSpec};
use crate::adapters::kubernetes::sidecar::Sidecar;
use crate::adapters::kubernetes::watch::CachedTraceBuffer;
use crate::domain::operator::injection::trace_buffer_view::SidecarTemplate;
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    DesiredSidecar, Reference, ReferenceKind, RolloutPolicy, TraceBufferSnapshot,
};

pub(super) fn snapshot(entry: &CachedTraceBuffer) -> TraceBufferSnapshot {
    let metadata = &entry.metadata;
    let object = entry.object.as_deref();
    let spec = object.map(|object| &object.spec);
    let sidecar = entry.view.sidecar.as_ref();
    TraceBufferSnapshot {
        key: entry.view.key.clone(),
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        sidecar: sidecar.map(desired_sidecar).map_err(Clone::clone),
        allowed_namespaces: entry.view.allowed_namespaces.clone(),
        credentials: sidecar.map(SidecarTemplate::credential_use).unwrap_or_default(),
        references: spec.map(references).unwrap_or_default(),
        rollout: spec.and_then(|spec| rollout_policy(&spec.rollout)),
        status: object.and_then(|object| object.status.as_ref()).map(status::from_resource),
    }
}

fn desired_sidecar(sidecar: &Sidecar) -> DesiredSidecar {
    DesiredSidecar { hash: sidecar.hash.clone(), limits: sidecar.limits }
}

/// What is out of bounds here is a mistake that keeps the whole from being accepted.
fn rollout_policy(rollout: &RolloutSpec) -> Option<RolloutPolicy> {
    match rollout.strategy {
        RolloutStrategy::None => None,
        RolloutStrategy::OnChange => Some(RolloutPolicy {
            max_concurrent: usize::try_from(rollout.max_concurrent).unwrap_or(1),
            interval: rollout
                .interval
                .to_milliseconds()
                .map_or(Duration::ZERO, |time| Duration::from_millis(time.0)),
        }),
    }
}

fn references(spec: &TraceBufferSpec) -> Vec<Reference> {
    use ReferenceKind::{ConfigMap, Secret};
    let mut found = vec![];
    let mut add = |kind, name: &str, field: String| {
        found.push(Reference { kind, name: name.to_owned(), field });
    };
    for (n, header) in spec.destination.headers.iter().enumerate() {
        let Some(from) = &header.value_from else { continue };
        let field = format!("spec.destination.headers[{n}].valueFrom");
        if let Some(key) = &from.secret_key_ref {
            add(Secret, &key.name, format!("{field}.secretKeyRef"));
        }
        if let Some(key) = &from.config_map_key_ref {
            add(ConfigMap, &key.name, format!("{field}.configMapKeyRef"));
        }
    }
    if let Some(tls) = &spec.destination.tls {
        let ca = tls.ca.as_ref();
        if let Some(key) = ca.and_then(|ca| ca.config_map_key_ref.as_ref()) {
            add(ConfigMap, &key.name, "spec.destination.tls.ca.configMapKeyRef".into());
        }
        if let Some(key) = ca.and_then(|ca| ca.secret_key_ref.as_ref()) {
            add(Secret, &key.name, "spec.destination.tls.ca.secretKeyRef".into());
        }
        if let Some(client) = &tls.client_certificate_secret_ref {
            let field = "spec.destination.tls.clientCertificateSecretRef";
            add(Secret, &client.name, field.into());
        }
    }
    for (n, secret) in spec.sidecar.image_pull_secrets.iter().enumerate() {
        add(Secret, &secret.name, format!("spec.sidecar.imagePullSecrets[{n}]"));
    }
    found
}

#[cfg(test)]
mod tests;
