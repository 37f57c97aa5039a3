//! Events on workloads.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use parking_lot::Mutex;

use super::call::{cluster_error, with_timeout};
use crate::adapters::kubernetes::names::FIELD_MANAGER;
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::domain::text::truncated_bytes;
use crate::ports::operator::cluster::{ClusterError, Workload};

/// The longest action that an event may have, in bytes.
const MAX_ACTION_BYTES: usize = 128;

/// A recorder remembers every event for six minutes, to count repetitions: some 2 KiB each. After so
/// many it is replaced; a repetition from before is a new event then.
const MAX_EVENTS_PER_RECORDER: u32 = 512;

/// Publishes events.
pub(super) struct EventPublisher {
    client: Client,
    reporter: Reporter,
    recording: Mutex<CountingRecorder>,
}

struct CountingRecorder {
    recorder: Recorder,
    published: u32,
}

impl EventPublisher {
    /// Creates a publisher that reports as `pod_name`.
    pub(super) fn new(client: Client, pod_name: &str) -> Self {
        let reporter =
            Reporter { controller: FIELD_MANAGER.into(), instance: Some(pod_name.to_owned()) };
        let recorder = Recorder::new(client.clone(), reporter.clone());
        let recording = Mutex::new(CountingRecorder { recorder, published: 0 });
        Self { client, reporter, recording }
    }

    /// Publishes `notice` on `workload`. One that differs in its cause only is another event: the
    /// cause is part of what the recorder tells events apart by.
    pub(super) async fn publish(
        &self,
        workload: &Workload,
        notice: &WorkloadEvent,
    ) -> Result<(), ClusterError> {
        let (event, regarding) = (to_kube_event(notice), regarding(workload));
        let published = with_timeout(self.recorder().publish(&event, &regarding)).await;
        published.map_err(|error| {
            let (kind, name) = (&workload.object.kind, &workload.object.name);
            cluster_error(&error, || format!("cannot tell {kind} {}/{name}", workload.namespace))
        })
    }

    fn recorder(&self) -> Recorder {
        let mut recording = self.recording.lock();
        recording.published += 1;
        if recording.published > MAX_EVENTS_PER_RECORDER {
            let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            *recording = CountingRecorder { recorder, published: 1 };
        }
        recording.recorder.clone()
    }
}

fn to_kube_event(notice: &WorkloadEvent) -> Event {
    Event {
        type_: if notice.is_warning { EventType::Warning } else { EventType::Normal },
        reason: notice.reason.to_owned(),
        note: Some(notice.message.clone()),
        action: truncated_bytes(&notice.dedup_key, MAX_ACTION_BYTES).into_owned(),
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
