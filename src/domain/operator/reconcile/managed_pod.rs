//! A pod as the status of its `TraceBuffer` counts it.

use std::sync::Arc;

use super::sidecar_state::{SidecarState, injected_sidecar};
use super::trace_buffer_status::PodCounts;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;

/// A pod that uses a `TraceBuffer`, or asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedPod {
    /// The pod.
    pub pod: Arc<PodSnapshot>,
    /// Its sidecar, compared with the `TraceBuffer`.
    pub state: SidecarState,
    /// Why its sidecar does not run; `None` while it runs or starts.
    pub failure: Option<Arc<SidecarFailure>>,
}

/// Why a sidecar does not run, by the status of its container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarFailure {
    /// The kubelet's reason, such as `ImagePullBackOff`.
    pub reason: String,
    /// The reason in human-readable form, with what the kubelet says of it.
    pub message: String,
}

impl PodCounts {
    /// Counts pods. One whose sidecar does not run counts as failing only, whether or not its sidecar is
    /// outdated, too.
    #[must_use]
    pub fn of(pods: &[ManagedPod]) -> Self {
        let mut counts = Self::default();
        for ManagedPod { pod, state, failure } in pods {
            counts.total += 1;
            match (failure, state) {
                (Some(_), SidecarState::Current | SidecarState::Outdated(_)) => counts.failing += 1,
                (_, SidecarState::Current) => counts.current += 1,
                (_, SidecarState::Outdated(_)) => counts.outdated += 1,
                (_, SidecarState::Missing(_)) => counts.missing += 1,
            }
            counts.bypassing += u32::from(injected_sidecar(pod).is_some_and(|it| it.is_bypassed));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::operator::injection::status::{InjectedSidecar, InjectionStatus};
    use crate::domain::operator::object_key::ObjectKey;
    use crate::domain::operator::reconcile::sidecar_state::{MissingReason, OutdatedReason};

    const OUTDATED: SidecarState = SidecarState::Outdated(OutdatedReason::SpecChanged);
    const MISSING: SidecarState = SidecarState::Missing(MissingReason::WebhookNotCalled);

    fn pod(state: SidecarState, fails: bool, is_bypassed: bool) -> ManagedPod {
        let key = ObjectKey { namespace: "shop".into(), name: "traces".into() };
        let injected = InjectedSidecar {
            trace_buffer: key.clone(),
            uid: "u".into(),
            hash: "h".into(),
            max_bytes: 1,
            is_bypassed,
            warnings: vec![],
        };
        let status = (state != MISSING).then_some(InjectionStatus::Injected(injected));
        let pod = PodSnapshot {
            key,
            uid: "u".into(),
            owner: None,
            inject: None,
            status,
            limits: None,
            is_terminating: false,
        };
        let failure = SidecarFailure { reason: "ErrImagePull".into(), message: "no image".into() };
        ManagedPod { pod: Arc::new(pod), state, failure: fails.then(|| Arc::new(failure)) }
    }

    #[test]
    fn counts_add_up_and_a_failing_sidecar_is_neither_current_nor_outdated() {
        let counts = PodCounts::of(&[
            pod(SidecarState::Current, false, false),
            pod(SidecarState::Current, false, true),
            pod(SidecarState::Current, true, false),
            pod(OUTDATED, false, false),
            pod(OUTDATED, true, true),
            pod(MISSING, false, false),
        ]);

        let expected =
            PodCounts { total: 6, current: 2, outdated: 1, missing: 1, failing: 2, bypassing: 2 };
        assert_eq!(counts, expected);
    }
}
