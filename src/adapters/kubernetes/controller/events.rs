//! Events on workloads.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use parking_lot::Mutex;

use super::call::{call, failed};
use crate::adapters::kubernetes::names::FIELD_MANAGER;
use crate::domain::operating::notice::Notice;
use crate::ports::cluster::{ClusterError, Workload};

/// The longest action that an event may have, in bytes.
const MOST_ACTION: usize = 128;

/// A recorder remembers every event for six minutes, to count repetitions: some 2 KiB each. After so
/// many it is replaced; a repetition from before is a new event then.
const MOST_REMEMBERED: u32 = 512;

/// Publishes events.
pub(super) struct Events {
    client: Client,
    reporter: Reporter,
    recording: Mutex<Recording>,
}

struct Recording {
    recorder: Recorder,
    published: u32,
}

impl Events {
    /// Creates a publisher that reports as `pod_name`.
    pub(super) fn new(client: Client, pod_name: &str) -> Self {
        let reporter =
            Reporter { controller: FIELD_MANAGER.into(), instance: Some(pod_name.to_owned()) };
        let recorder = Recorder::new(client.clone(), reporter.clone());
        let recording = Mutex::new(Recording { recorder, published: 0 });
        Self { client, reporter, recording }
    }

    /// Publishes `notice` on `workload`. One that differs in its cause only is another event: the
    /// cause is part of what the recorder tells events apart by.
    pub(super) async fn tell(
        &self,
        workload: &Workload,
        notice: &Notice,
    ) -> Result<(), ClusterError> {
        let (event, regarding) = (event(notice), regarding(workload));
        let published = call(self.recorder().publish(&event, &regarding)).await;
        published.map_err(|error| {
            let (kind, name) = (&workload.object.kind, &workload.object.name);
            failed(&error, || format!("cannot tell {kind} {}/{name}", workload.namespace))
        })
    }

    fn recorder(&self) -> Recorder {
        let mut recording = self.recording.lock();
        recording.published += 1;
        if recording.published > MOST_REMEMBERED {
            let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            *recording = Recording { recorder, published: 1 };
        }
        recording.recorder.clone()
    }
}

fn event(notice: &Notice) -> Event {
    Event {
        type_: if notice.is_warning { EventType::Warning } else { EventType::Normal },
        reason: notice.reason.to_owned(),
        note: Some(notice.message.clone()),
        action: shortened(&notice.cause),
        secondary: None,
    }
}

fn regarding(workload: &Workload) -> ObjectReference {
    let object = &workload.object;
    ObjectReference {
        api_version: Some(object.api_version.clone()),
        kind: Some(object.kind.clone()),
        name: Some(object.name.clone()),
        namespace: Some(workload.namespace.clone()),
        uid: Some(object.uid.clone()),
        ..ObjectReference::default()
    }
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
