//! A sidecar and pods for tests.

use std::sync::Arc;

use json_patch::PatchOperation;
use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeSource, LocalObjectReference, ResourceRequirements, Volume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};

use super::{Admission, apply_decision};
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::sidecar::Sidecar;
use crate::domain::limits::BufferLimits;
use crate::domain::operator::injection::consent::{AllowedNamespaces, CredentialUse};
use crate::domain::operator::injection::decide::Decision;
use crate::domain::operator::injection::trace_buffer_view::{SidecarMode, SidecarPorts};
use crate::domain::operator::object_key::ObjectKey;

/// The endpoint that is set in containers.
pub(super) const ENDPOINT: &str = "http://127.0.0.1:4317";

pub(super) fn sidecar() -> Sidecar {
    let amounts = |all: &[(&str, &str)]| {
        Some(all.iter().map(|(what, much)| ((*what).into(), Quantity((*much).into()))).collect())
    };
    Sidecar {
        uid: "u-1".into(),
        mode: SidecarMode::Native,
        ports: SidecarPorts { grpc: 4317, http: 4318, admin: 9417 },
        container: Container {
            name: names::SIDECAR_CONTAINER.into(),
            image: Some("tracebuffer:1".into()),
            args: Some(vec!["receiver".into()]),
            resources: Some(ResourceRequirements {
                requests: amounts(&[
                    ("cpu", "10m"),
                    ("memory", "64Mi"),
                    ("ephemeral-storage", "16Mi"),
                ]),
                limits: amounts(&[("memory", "64Mi")]),
                claims: None,
            }),
            ..Container::default()
        },
        volumes: vec![Volume {
            name: names::POD_INFO_VOLUME.into(),
            downward_api: Some(DownwardAPIVolumeSource::default()),
            ..Volume::default()
        }],
        credentials: CredentialUse::None,
        allowed_namespaces: AllowedNamespaces::Same,
        image_pull_secrets: vec![LocalObjectReference { name: "pull".into() }],
        application_endpoint: Some(ENDPOINT.into()),
        sets_resource_attributes: false,
        has_explicit_resources: false,
        has_explicit_user: false,
        limits: BufferLimits {
            max_spans: 1000.try_into().unwrap(),
            max_bytes: 65_536.try_into().unwrap(),
            max_age: None,
        },
        drain_timeout_seconds: 25,
        hash: "h1".into(),
    }
}

pub(super) fn key() -> ObjectKey {
    ObjectKey { namespace: "shop".into(), name: "default".into() }
}

pub(super) fn inject_decision(sidecar: Sidecar) -> Decision<Sidecar> {
    Decision::Inject { trace_buffer: key(), sidecar: Arc::new(sidecar) }
}

pub(super) fn completion_decision(sidecar: Sidecar) -> Decision<Sidecar> {
    Decision::CompleteInjection { trace_buffer: key(), sidecar: Arc::new(sidecar) }
}

/// A pod of these containers.
pub(super) fn pod(containers: &Value) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"containers": containers}})
}

/// Injects `sidecar` into `pod`.
pub(super) fn injected(pod: &Value, sidecar: Sidecar) -> Admission {
    apply_decision(pod, &inject_decision(sidecar))
}

/// Returns `pod` with the patch applied.
pub(super) fn patched(pod: &Value, admission: &Admission) -> Value {
    assert!(admission.patch.iter().all(|operation| matches!(operation, PatchOperation::Add(_))));
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &admission.patch).unwrap();
    patched
}
