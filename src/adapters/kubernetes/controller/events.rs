//! Events on workloads.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use parking_lot::Mutex;

use crate::adapters::kubernetes::call::{cluster_error, with_timeout};
use crate::adapters::kubernetes::names::FIELD_MANAGER;
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;
use crate::domain::text::truncated_bytes;
use crate::ports::operator::cluster::{ClusterError, Workload};

/// Maximum bytes of an event's action, as the API server has it.
const MAX_ACTION_BYTES: usize = 128;

/// A recorder keeps every event for six minutes to count repetitions, some 2 KiB each. It is replaced
/// after this many events; a repetition of an earlier event is a new event then.
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

    /// Publishes `event` on `workload`. An event with another `dedup_key` is a new one: the recorder
    /// compares the action, which holds the key.
    pub(super) async fn publish(
        &self,
        workload: &Workload,
        event: &WorkloadEvent,
    ) -> Result<(), ClusterError> {
        let (event, regarding) = (to_kube_event(event), regarding(workload));
        let published = with_timeout(self.recorder().publish(&event, &regarding)).await;
        published.map_err(|error| {
            let (kind, name) = (&workload.object.kind, &workload.object.name);
            cluster_error(&error, || {
                format!("cannot publish an event on {kind} {}/{name}", workload.namespace)
            })
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

fn to_kube_event(event: &WorkloadEvent) -> Event {
    Event {
        type_: if event.is_warning { EventType::Warning } else { EventType::Normal },
        reason: event.reason.to_owned(),
        note: Some(event.message.clone()),
        action: truncated_bytes(&event.dedup_key, MAX_ACTION_BYTES).into_owned(),
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
