//! Converts the status between the resource and the domain.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as Written, Time};

use crate::adapters::kubernetes::resource::{PodCounts as WrittenCounts, TraceBufferStatus};
use crate::domain::operator::reconcile::trace_buffer_status::{
    Condition, ConditionStatus, PodCounts, Status,
};

/// Returns the status to write; a condition without a transition time gets `now`.
pub(super) fn to_resource(status: &Status, now: Timestamp) -> TraceBufferStatus {
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let conditions = status.conditions.iter().map(|condition| {
        let since =
            condition.last_transition_time.and_then(|since| Timestamp::from_second(since).ok());
        Written {
            type_: condition.type_.clone(),
            status: match condition.status {
                ConditionStatus::True => "True".into(),
                ConditionStatus::False => "False".into(),
                ConditionStatus::Unknown => "Unknown".into(),
            },
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            last_transition_time: Time(since.unwrap_or(now)),
            observed_generation: condition.observed_generation,
        }
    });
    TraceBufferStatus {
        observed_generation: status.observed_generation,
        conditions: conditions.collect(),
        pods: Some(WrittenCounts {
            total: count(status.pods.total),
            current: count(status.pods.current),
            outdated: count(status.pods.outdated),
            missing: count(status.pods.missing),
            failing: count(status.pods.failing),
            bypassing: count(status.pods.bypassing),
        }),
    }
}

/// Returns the status as read.
pub(super) fn from_resource(written: &TraceBufferStatus) -> Status {
    let count = |count: i32| u32::try_from(count).unwrap_or_default();
    let counts = written.pods.unwrap_or_default();
    let conditions = written.conditions.iter().map(|written| Condition {
        type_: written.type_.clone(),
        status: match written.status.as_str() {
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        },
        reason: written.reason.clone(),
        message: written.message.clone(),
        last_transition_time: Some(written.last_transition_time.0.as_second()),
        observed_generation: written.observed_generation,
    });
    Status {
        observed_generation: written.observed_generation,
        conditions: conditions.collect(),
        pods: PodCounts {
            total: count(counts.total),
            current: count(counts.current),
            outdated: count(counts.outdated),
            missing: count(counts.missing),
            failing: count(counts.failing),
            bypassing: count(counts.bypassing),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(kind: &str, status: ConditionStatus, since: Option<i64>) -> Condition {
        Condition {
            type_: kind.into(),
            status,
            reason: "Because".into(),
            message: "of it".into(),
            last_transition_time: since,
            observed_generation: Some(3),
        }
    }

    #[test]
    fn a_written_status_is_read_back_unchanged() {
        let status = Status {
            observed_generation: Some(3),
            conditions: vec![
                condition("Accepted", ConditionStatus::True, Some(1_700_000_000)),
                condition("Ready", ConditionStatus::False, Some(1_700_000_001)),
                condition("ResolvedRefs", ConditionStatus::Unknown, Some(1_700_000_002)),
            ],
            pods: PodCounts {
                total: 10,
                current: 1,
                outdated: 2,
                missing: 3,
                failing: 4,
                bypassing: 5,
            },
        };

        let written = serde_json::to_string(&to_resource(&status, Timestamp::now())).unwrap();

        assert_eq!(from_resource(&serde_json::from_str(&written).unwrap()), status);
    }

    #[test]
    fn a_condition_that_has_just_changed_gets_the_time_of_writing() {
        let conditions = vec![condition("Ready", ConditionStatus::True, None)];
        let now = Timestamp::from_second(1_700_000_000).unwrap();

        let written = to_resource(&Status { conditions, ..Status::default() }, now);

        assert_eq!(written.conditions[0].last_transition_time, Time(now));
    }
}
