//! What people are told about a workload: events.

use super::sidecar_state::{MissingReason, OutdatedReason};
use super::trace_buffer_snapshot::DesiredSidecar;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::text::in_one_line;

/// Most characters of a notice; Kubernetes allows 1024 bytes.
const MAX_MESSAGE_CHARS: usize = 500;

/// The reason of a notice that all is well.
const INJECTED_REASON: &str = "Injected";

/// One thing worth telling about a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadEvent {
    /// Whether something is wrong.
    pub is_warning: bool,
    /// What happened, in one word.
    pub reason: &'static str,
    /// What tells it from other notices of the same reason, such as why; one word.
    pub dedup_key: String,
    /// The same for people.
    pub message: String,
}

impl WorkloadEvent {
    /// A new pod got its sidecar.
    #[must_use]
    pub fn injected(trace_buffer: &ObjectKey, hash: &str) -> Self {
        let message = format!("new pods have the sidecar of TraceBuffer {trace_buffer}");
        Self::new(false, INJECTED_REASON, hash, &message)
    }

    /// A pod asks for a sidecar and has none.
    #[must_use]
    pub fn missing(cause: &MissingReason) -> Self {
        match cause {
            MissingReason::WebhookNotCalled => Self::new(
                true,
                "MissingSidecar",
                cause.as_str(),
                "pods ask for a sidecar and have none: they were created before they asked, or \
                 while the webhook was not reachable; restart the workload",
            ),
            MissingReason::Skipped { message, .. } => {
                Self::new(true, "InjectionSkipped", cause.as_str(), message)
            }
        }
    }

    /// A pod's sidecar is from before a change.
    #[must_use]
    pub fn outdated(
        trace_buffer: &ObjectKey,
        change: OutdatedReason,
        needs: &DesiredSidecar,
    ) -> Self {
        let what = match change {
            OutdatedReason::HashDiffers => "has changed since",
            OutdatedReason::Recreated => "was deleted and made anew since",
            OutdatedReason::NeedsMoreMemory => {
                "allows more bytes than their sidecar's memory was made for"
            }
        };
        let message = format!(
            "pods have an older sidecar: TraceBuffer {trace_buffer} {what}; they take it up when \
             they are next created"
        );
        let word = change.as_str();
        let cause = match change {
            OutdatedReason::NeedsMoreMemory => format!("{word}-{}", needs.limits.max_bytes),
            OutdatedReason::HashDiffers | OutdatedReason::Recreated => {
                format!("{word}-{}", needs.hash)
            }
        };
        Self::new(false, "Outdated", &cause, &message)
    }

    /// The `TraceBuffer` of running pods is gone.
    #[must_use]
    pub fn trace_buffer_deleted(trace_buffer: &ObjectKey) -> Self {
        let message = format!(
            "TraceBuffer {trace_buffer} was deleted: pods keep their sidecar with its last settings; \
             new pods will be skipped"
        );
        Self::new(true, "TraceBufferDeleted", &trace_buffer.to_string(), &message)
    }

    /// A workload is restarted.
    #[must_use]
    pub fn restarted(trace_buffer: &ObjectKey, marker: &str) -> Self {
        let message = format!(
            "restarted, because TraceBuffer {trace_buffer} changed and its rollout strategy is \
             OnChange"
        );
        Self::new(false, "Restarted", marker, &message)
    }

    /// A restarted workload does not come up, and no other is restarted.
    #[must_use]
    pub fn rollout_halted(trace_buffer: &ObjectKey, marker: &str, why: &str) -> Self {
        let message = format!(
            "did not come up after its restart, and no other workload is restarted for TraceBuffer \
             {trace_buffer} until it does: {why}"
        );
        Self::new(true, "RolloutHalted", marker, &message)
    }

    /// Returns whether it says only that all is well, which nobody needs to be told again by the next
    /// leader.
    #[must_use]
    pub fn reports_success(&self) -> bool {
        self.reason == INJECTED_REASON
    }

    fn new(is_warning: bool, reason: &'static str, cause: &str, message: &str) -> Self {
        Self {
            is_warning,
            reason,
            dedup_key: cause.to_owned(),
            message: in_one_line(message, MAX_MESSAGE_CHARS),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::domain::limits::BufferLimits;
    use crate::domain::operator::injection::skip::SkipReason;

    fn key() -> ObjectKey {
        ObjectKey { namespace: "shop".into(), name: "traces".into() }
    }

    #[test]
    fn a_skipped_pods_notice_repeats_what_the_webhook_said() {
        let cause = MissingReason::Skipped {
            reason: SkipReason::PortClash,
            message: "port 4317\nis taken".into(),
        };

        let notice = WorkloadEvent::missing(&cause);

        assert_eq!((notice.reason, notice.dedup_key.as_str()), ("InjectionSkipped", "PortClash"));
        assert_eq!(notice.message, "port 4317; is taken");
        assert!(notice.is_warning);
    }

    #[test]
    fn a_bare_pods_notice_says_what_to_do() {
        let notice = WorkloadEvent::missing(&MissingReason::WebhookNotCalled);

        assert_eq!(notice.reason, "MissingSidecar");
        assert!(notice.message.ends_with("restart the workload"));
    }

    #[test]
    fn two_changes_of_a_trace_buffer_are_two_notices_but_limits_that_all_follow_are_none() {
        let cause = |change, hash: &str, max_bytes| {
            let max_bytes = NonZeroU64::new(max_bytes).unwrap();
            let limits = BufferLimits { max_spans: NonZeroU64::MIN, max_bytes, max_age: None };
            WorkloadEvent::outdated(&key(), change, &DesiredSidecar { hash: hash.into(), limits })
                .dedup_key
        };

        assert_eq!(cause(OutdatedReason::HashDiffers, "a", 1), "Changed-a");
        assert_eq!(cause(OutdatedReason::HashDiffers, "a", 2), "Changed-a");
        assert_eq!(cause(OutdatedReason::Recreated, "b", 2), "Recreated-b");
        assert_eq!(cause(OutdatedReason::NeedsMoreMemory, "a", 2), "NeedsMoreMemory-2");
    }

    #[test]
    fn a_deleted_trace_buffers_notice_says_what_happens_to_old_and_new_pods() {
        let message = WorkloadEvent::trace_buffer_deleted(&key()).message;

        assert_eq!(
            message,
            "TraceBuffer shop/traces was deleted: pods keep their sidecar with its last settings; \
             new pods will be skipped"
        );
    }

    #[test]
    fn no_notice_is_longer_than_kubernetes_allows() {
        let why = "é".repeat(5000);

        assert!(WorkloadEvent::rollout_halted(&key(), "a-1", &why).message.len() <= 1024);
    }
}
