//! Kubernetes events about workloads.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::managed_pod::SidecarFailure;
use super::sidecar_state::{MissingReason, OutdatedReason};
use super::trace_buffer_snapshot::DesiredSidecar;
use crate::domain::final_ledger::FinalLedger;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::status::InjectedSidecar;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::text::{in_one_line, truncated_bytes};

/// Maximum length of a message: the API server refuses events with longer notes.
const MAX_MESSAGE_BYTES: usize = 1024;

/// The reasons of events that report how pods were created.
const INJECTED_REASON: &str = "Injected";
const INJECTION_WARNING_REASON: &str = "InjectionWarning";

/// An event about a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadEvent {
    /// Whether the event is of type `Warning` instead of `Normal`.
    pub is_warning: bool,
    /// The reason, in one word.
    pub reason: &'static str,
    /// Two events of a workload with the same reason and the same key are published only once.
    pub dedup_key: String,
    /// What happened, in human-readable form.
    pub message: String,
}

impl WorkloadEvent {
    /// Returns the event for a new pod that got its sidecar.
    #[must_use]
    pub fn injected(trace_buffer: &ObjectKey, hash: &str) -> Self {
        let message = format!("new pods have the sidecar of TraceBuffer {trace_buffer}");
        Self::new(false, INJECTED_REASON, hash, &message)
    }

    /// Returns the event for a pod that has no sidecar although it asks for one.
    #[must_use]
    pub fn missing(reason: &MissingReason) -> Self {
        match reason {
            MissingReason::WebhookNotCalled => Self::new(
                true,
                "MissingSidecar",
                reason.as_str(),
                "pods ask for a sidecar and have none: they were created before they asked, or \
                 while the webhook was not reachable; restart the workload",
            ),
            MissingReason::Skipped { message, .. } => {
                Self::new(true, "InjectionSkipped", reason.as_str(), message)
            }
        }
    }

    /// Returns the event for a pod whose sidecar predates a change.
    #[must_use]
    pub fn outdated(
        trace_buffer: &ObjectKey,
        reason: OutdatedReason,
        desired: &DesiredSidecar,
    ) -> Self {
        let change = match reason {
            OutdatedReason::SpecChanged => "has changed since",
            OutdatedReason::Recreated => "was deleted and created again since",
            OutdatedReason::NeedsMoreMemory => {
                "allows more bytes than the memory of their sidecar was sized for"
            }
        };
        let message = format!(
            "pods have an outdated sidecar: TraceBuffer {trace_buffer} {change}; pods receive the \
             change when they are created again"
        );
        let word = reason.as_str();
        let dedup_key = match reason {
            OutdatedReason::NeedsMoreMemory => format!("{word}-{}", desired.limits.max_bytes),
            OutdatedReason::SpecChanged | OutdatedReason::Recreated => {
                format!("{word}-{}", desired.hash)
            }
        };
        Self::new(false, "Outdated", &dedup_key, &message)
    }

    /// Returns the event for pods whose sidecar does not run.
    #[must_use]
    pub fn sidecar_failing(failure: &SidecarFailure) -> Self {
        let message = format!(
            "the sidecar of pods does not run, and a native one keeps the application from starting: {}",
            failure.message
        );
        Self::new(true, "SidecarFailing", &failure.reason, &message)
    }

    /// Returns the event for a pod whose sidecar has ended with a loss: one for all pods of an owner.
    #[must_use]
    pub fn spans_lost(pod: &PodSnapshot, ledger: &FinalLedger) -> Self {
        let losses = ledger.losses().map(|(reason, spans)| format!("{} {spans}", reason.as_str()));
        let losses = losses.collect::<Vec<_>>().join(", ");
        let message = format!(
            "the sidecar of pod {} ended with a loss of spans: {losses}; it had delivered {}. The logs \
             of the sidecars have the loss of every pod",
            pod.key.name,
            ledger.delivered()
        );
        Self::new(true, "SpansLost", pod.owner_uid(), &message)
    }

    /// Returns the event for what the webhook warned of when it injected a pod; `None` without a warning.
    #[must_use]
    pub fn injection_warning(injected: &InjectedSidecar) -> Option<Self> {
        if injected.warnings.is_empty() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        injected.warnings.hash(&mut hasher);
        let dedup_key = format!("{:016x}", hasher.finish());
        Some(Self::new(true, INJECTION_WARNING_REASON, &dedup_key, &injected.warnings.join("; ")))
    }

    /// Returns the event for running pods whose `TraceBuffer` was deleted.
    #[must_use]
    pub fn trace_buffer_deleted(trace_buffer: &ObjectKey) -> Self {
        let message = format!(
            "TraceBuffer {trace_buffer} was deleted: pods keep their sidecar with its last settings; \
             new pods will be skipped"
        );
        Self::new(true, "TraceBufferDeleted", &trace_buffer.to_string(), &message)
    }

    /// Returns the event for a workload that the operator restarted.
    #[must_use]
    pub fn restarted(trace_buffer: &ObjectKey, revision: &str) -> Self {
        let message = format!(
            "restarted, because TraceBuffer {trace_buffer} changed and its rollout strategy is \
             OnChange"
        );
        Self::new(false, "Restarted", revision, &message)
    }

    /// Returns the event for a restarted workload whose pods do not become available, so that the
    /// rollout is halted; `error` says why.
    #[must_use]
    pub fn rollout_halted(trace_buffer: &ObjectKey, revision: &str, error: &str) -> Self {
        let message = format!(
            "did not become available after its restart; no other workload is restarted for \
             TraceBuffer {trace_buffer} until it does: {error}"
        );
        Self::new(true, "RolloutHalted", revision, &message)
    }

    /// Returns whether the event reports how pods were created, as opposed to what is the matter with them
    /// now. The next leader does not publish such an event again.
    #[must_use]
    pub fn reports_creation(&self) -> bool {
        [INJECTED_REASON, INJECTION_WARNING_REASON].contains(&self.reason)
    }

    fn new(is_warning: bool, reason: &'static str, dedup_key: &str, message: &str) -> Self {
        Self {
            is_warning,
            reason,
            dedup_key: dedup_key.to_owned(),
            message: truncated_bytes(&in_one_line(message, MAX_MESSAGE_BYTES), MAX_MESSAGE_BYTES)
                .into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::domain::final_ledger::LossReason;
    use crate::domain::ledger::DropReason;
    use crate::domain::limits::BufferLimits;
    use crate::domain::operator::injection::pod_snapshot::Owner;
    use crate::domain::operator::injection::skip::SkipReason;

    fn key() -> ObjectKey {
        ObjectKey { namespace: "shop".into(), name: "traces".into() }
    }

    #[test]
    fn the_event_of_a_skipped_pod_repeats_the_message_of_the_webhook() {
        let reason = MissingReason::Skipped {
            reason: SkipReason::PortClash,
            message: "port 4317\nis taken".into(),
        };

        let event = WorkloadEvent::missing(&reason);

        assert_eq!((event.reason, event.dedup_key.as_str()), ("InjectionSkipped", "PortClash"));
        assert_eq!(event.message, "port 4317; is taken");
        assert!(event.is_warning);
    }

    #[test]
    fn the_event_of_a_pod_without_a_sidecar_names_the_remedy() {
        let event = WorkloadEvent::missing(&MissingReason::WebhookNotCalled);

        assert_eq!(event.reason, "MissingSidecar");
        assert!(event.message.ends_with("restart the workload"));
    }

    #[test]
    fn each_change_that_outdates_pods_has_its_own_dedup_key() {
        let dedup_key = |reason, hash: &str, max_bytes| {
            let max_bytes = NonZeroU64::new(max_bytes).unwrap();
            let limits = BufferLimits { max_spans: NonZeroU64::MIN, max_bytes, max_age: None };
            WorkloadEvent::outdated(&key(), reason, &DesiredSidecar { hash: hash.into(), limits })
                .dedup_key
        };

        assert_eq!(dedup_key(OutdatedReason::SpecChanged, "a", 1), "Changed-a");
        assert_eq!(dedup_key(OutdatedReason::SpecChanged, "a", 2), "Changed-a");
        assert_eq!(dedup_key(OutdatedReason::Recreated, "b", 2), "Recreated-b");
        assert_eq!(dedup_key(OutdatedReason::NeedsMoreMemory, "a", 2), "NeedsMoreMemory-2");
    }

    #[test]
    fn the_event_of_a_failing_sidecar_has_the_reason_of_the_kubelet() {
        let failure = SidecarFailure {
            reason: "ImagePullBackOff".into(),
            message: "ImagePullBackOff: no such image".into(),
        };

        let event = WorkloadEvent::sidecar_failing(&failure);

        assert_eq!(
            (event.reason, event.dedup_key.as_str()),
            ("SidecarFailing", "ImagePullBackOff")
        );
        assert!(event.message.ends_with("ImagePullBackOff: no such image"), "{}", event.message);
    }

    #[test]
    fn a_loss_is_one_event_for_all_pods_of_an_owner() {
        let mut ledger = FinalLedger::of_delivered(7);
        ledger.add_lost(LossReason::Dropped(DropReason::Shutdown), 5);
        ledger.add_lost(LossReason::Rejected, 2);
        let owner = Owner {
            api_version: "apps/v1".into(),
            kind: "ReplicaSet".into(),
            name: "web-1".into(),
            uid: "rs-1".into(),
        };
        let pod = |name: &str, owner: Option<&Owner>| PodSnapshot {
            key: ObjectKey { namespace: "shop".into(), name: name.into() },
            uid: format!("uid-{name}"),
            owner: owner.cloned(),
            inject: None,
            status: None,
            limits: None,
            is_terminating: true,
        };

        let event = WorkloadEvent::spans_lost(&pod("a", Some(&owner)), &ledger);

        assert!(
            event.message.contains("pod a ended with a loss of spans: shutdown 5, rejected 2;")
        );
        assert!(event.is_warning);
        let dedup_key =
            |name, owner| WorkloadEvent::spans_lost(&pod(name, owner), &ledger).dedup_key;
        assert_eq!(dedup_key("a", Some(&owner)), dedup_key("b", Some(&owner)));
        assert_ne!(dedup_key("a", None), dedup_key("b", None));
    }

    #[test]
    fn warnings_of_the_injection_are_one_event_and_other_warnings_are_another() {
        let event = |warnings: &[&str]| {
            WorkloadEvent::injection_warning(&InjectedSidecar {
                trace_buffer: key(),
                uid: "u".into(),
                hash: "h".into(),
                max_bytes: 1,
                is_bypassed: true,
                warnings: warnings.iter().map(|&text| text.to_owned()).collect(),
            })
        };

        let both = event(&["first", "second"]).unwrap();

        assert_eq!(both.message, "first; second");
        assert!(both.is_warning);
        assert_eq!(Some(&both), event(&["first", "second"]).as_ref());
        assert_ne!(both.dedup_key, event(&["first"]).unwrap().dedup_key);
        assert_eq!(event(&[]), None);
    }

    #[test]
    fn the_event_of_a_deleted_trace_buffer_explains_the_effect_on_old_and_new_pods() {
        let message = WorkloadEvent::trace_buffer_deleted(&key()).message;

        assert_eq!(
            message,
            "TraceBuffer shop/traces was deleted: pods keep their sidecar with its last settings; \
             new pods will be skipped"
        );
    }

    #[test]
    fn no_message_is_longer_than_kubernetes_allows() {
        for character in ["e", "é", "満", "\u{1f600}"] {
            let error = character.repeat(5000);

            assert!(WorkloadEvent::rollout_halted(&key(), "a-1", &error).message.len() <= 1024);
        }
    }
}
