//! The objects of the tests.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::domain::limits::BufferLimits;
use crate::domain::limits_text;
use crate::domain::operator::injection::consent::{AllowedNamespaces, CredentialUse};
use crate::domain::operator::injection::facts::ClusterFacts;
use crate::domain::operator::injection::pod_snapshot::{Owner, PodSnapshot};
use crate::domain::operator::injection::skip::SkipReason;
use crate::domain::operator::injection::status::{InjectedSidecar, InjectionStatus};
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::managed_pod::SidecarFailure;
use crate::domain::operator::reconcile::rollout::{RolloutProgress, WorkloadStatus};
use crate::domain::operator::reconcile::trace_buffer_snapshot::{
    DesiredSidecar, Reference, ReferenceKind, RolloutPolicy, TraceBufferSnapshot,
};

pub(in crate::application::operator::reconcile) fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

/// The operator is in `ops`, and its default is `platform/all`.
pub(super) fn facts() -> ClusterFacts {
    ClusterFacts {
        operator_namespace: "ops".into(),
        excluded_namespaces: vec!["kube-system".into()],
        default_trace_buffer: Some(key("platform", "all")),
    }
}

pub(in crate::application::operator::reconcile) fn limits(max_bytes: u64) -> BufferLimits {
    let max_bytes = NonZeroU64::new(max_bytes).unwrap();
    BufferLimits { max_spans: NonZeroU64::MIN, max_bytes, max_age: None }
}

/// The limits as a sidecar reads them in these tests.
pub(in crate::application::operator::reconcile) fn text(max_bytes: u64) -> String {
    limits_text::to_file(&limits(max_bytes))
}

/// `shop/traces` with hash `h1` and 100 bytes.
pub(in crate::application::operator::reconcile) fn snapshot() -> TraceBufferSnapshot {
    TraceBufferSnapshot {
        key: key("shop", "traces"),
        uid: "u1".into(),
        resource_version: "1".into(),
        generation: 1,
        sidecar: Ok(DesiredSidecar { hash: "h1".into(), limits: limits(100) }),
        allowed_namespaces: AllowedNamespaces::All,
        credentials: CredentialUse::None,
        references: vec![],
        rollout: None,
        status: None,
    }
}

/// The same with this hash, which restarts one owner at a time with `interval` between them.
pub(in crate::application::operator::reconcile) fn restarting(
    hash: &str,
    interval: Duration,
) -> TraceBufferSnapshot {
    let policy = RolloutPolicy { max_concurrent: 1, interval };
    let desired = DesiredSidecar { hash: hash.into(), limits: limits(100) };
    TraceBufferSnapshot { sidecar: Ok(desired), rollout: Some(policy), ..snapshot() }
}

pub(in crate::application::operator::reconcile) fn secret(name: &str) -> Reference {
    Reference { kind: ReferenceKind::Secret, name: name.into(), field: "spec.field".into() }
}

/// A missing pod of `owner` in `shop`.
pub(in crate::application::operator::reconcile) fn missing_pod(
    name: &str,
    owner: &str,
) -> PodSnapshot {
    PodSnapshot {
        key: key("shop", name),
        uid: format!("uid-{name}"),
        owner: Some(Owner {
            api_version: "apps/v1".into(),
            kind: "ReplicaSet".into(),
            name: owner.into(),
            uid: format!("uid-{owner}"),
        }),
        inject: Some("true".into()),
        status: None,
        limits: None,
        is_terminating: false,
    }
}

/// The same pod with a sidecar of `shop/traces`.
pub(in crate::application::operator::reconcile) fn injected_pod(
    name: &str,
    owner: &str,
    hash: &str,
) -> PodSnapshot {
    let trace_buffer = key("shop", "traces");
    let (uid, hash) = ("u1".into(), hash.into());
    let (is_bypassed, warnings) = (false, vec![]);
    let injected =
        InjectedSidecar { trace_buffer, uid, hash, max_bytes: 100, is_bypassed, warnings };
    PodSnapshot {
        status: Some(InjectionStatus::Injected(injected)),
        limits: Some(text(100)),
        ..missing_pod(name, owner)
    }
}

/// The same pod, skipped by the webhook.
pub(in crate::application::operator::reconcile) fn skipped_pod(
    name: &str,
    owner: &str,
    reason: SkipReason,
) -> PodSnapshot {
    let status = InjectionStatus::Skipped { reason, message: "because".into() };
    PodSnapshot { status: Some(status), ..missing_pod(name, owner) }
}

pub(in crate::application::operator::reconcile) fn workload_status(
    revision: Option<&str>,
    progress: RolloutProgress,
) -> WorkloadStatus {
    let revision = revision.map(str::to_owned);
    let inject = Some("traces".into());
    WorkloadStatus {
        revision,
        progress,
        restart_blocker: None,
        keeps_broken_pods: false,
        inject,
        resource_version: "1".into(),
    }
}

pub(in crate::application::operator::reconcile) fn image_pull_failure() -> SidecarFailure {
    SidecarFailure {
        reason: "ImagePullBackOff".into(),
        message: "ImagePullBackOff: no image".into(),
    }
}
