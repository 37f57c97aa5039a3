//! Events on workloads.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};

use super::call::{call, failed};
use crate::domain::operating::notice::Notice;
use crate::ports::cluster::{ClusterError, Workload};

/// The longest action that an event may have, in bytes.
const MOST_ACTION: usize = 128;

/// Publishes `notice`. One that differs in its cause only is another event: the cause is part of what
/// the recorder tells events apart by.
pub(super) async fn tell(
    recorder: &Recorder,
    workload: &Workload,
    notice: &Notice,
) -> Result<(), ClusterError> {
    let object = &workload.object;
    let regarding = ObjectReference {
        api_version: Some(object.api_version.clone()),
        kind: Some(object.kind.clone()),
        name: Some(object.name.clone()),
        namespace: Some(workload.namespace.clone()),
        uid: Some(object.uid.clone()),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: if notice.is_warning { EventType::Warning } else { EventType::Normal },
        reason: notice.reason.to_owned(),
        note: Some(notice.message.clone()),
        action: shortened(&notice.cause),
        secondary: None,
    };
    call(recorder.publish(&event, &regarding)).await.map_err(|error| {
        let (kind, name) = (&object.kind, &object.name);
        failed(&error, || format!("cannot tell {kind} {}/{name}", workload.namespace))
    })
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(MOST_ACTION);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_cut_at_a_character() {
        assert_eq!(shortened("PortClash"), "PortClash");
        assert_eq!(shortened(&"é".repeat(100)).len(), 128);
        assert_eq!(shortened(&format!("a{}", "é".repeat(100))).len(), 127);
    }
}
