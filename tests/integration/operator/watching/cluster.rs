//! Objects to watch, and a handler that records changes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tracebuffer::domain::final_ledger::FinalLedger;
use tracebuffer::domain::operator::injection::pod_snapshot::PodSnapshot;
use tracebuffer::domain::operator::object_key::ObjectKey;
use tracebuffer::ports::operator::pods::ChangeHandler;

pub(crate) const TRACE_BUFFERS: &str = "tracebuffers.tracebuffer.dev";

pub(crate) fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

pub(crate) fn trace_buffer(name: &str, endpoint: &str) -> Value {
    json!({
        "apiVersion": "tracebuffer.dev/v1alpha1", "kind": "TraceBuffer",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "destination": { "endpoint": endpoint } },
    })
}

/// Waits, in paused time, until `is_true` returns true.
pub(crate) async fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let wait = async {
        while !is_true() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(Duration::from_mins(10), wait).await.is_ok(), "timed out: {what}");
}

/// Records the changes that are reported.
#[derive(Default)]
pub(crate) struct RecordedChanges {
    entries: Mutex<Vec<String>>,
}

impl RecordedChanges {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Returns what was reported since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.entries.lock())
    }

    fn record(&self, word: String) {
        self.entries.lock().push(word);
    }
}

impl ChangeHandler for RecordedChanges {
    fn trace_buffer_changed(&self, key: &ObjectKey) {
        self.record(format!("tb {}/{}", key.namespace, key.name));
    }

    fn trace_buffer_status_changed(&self, key: &ObjectKey) {
        self.record(format!("status {}/{}", key.namespace, key.name));
    }

    fn pod_changed(&self, pod: &PodSnapshot) {
        self.record(format!("pod {}/{}", pod.key.namespace, pod.key.name));
    }

    fn spans_lost(&self, pod: &PodSnapshot, ledger: &FinalLedger) {
        let losses = ledger.losses().map(|(reason, spans)| format!("{} {spans}", reason.as_str()));
        let losses = losses.collect::<Vec<_>>().join(", ");
        self.record(format!("lost {}/{}: {losses}", pod.key.namespace, pod.key.name));
    }

    fn namespace_changed(&self, name: &str) {
        self.record(format!("ns {name}"));
    }

    fn resync(&self) {
        self.record("everything".into());
    }
}

pub(crate) fn pod(namespace: &str, name: &str, annotations: impl Into<Value>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "annotations": annotations.into() },
        "spec": { "containers": [] }, "status": { "phase": "Running" },
    })
}

pub(crate) fn namespace(name: &str, opted_in: bool) -> Value {
    let labels = if opted_in { json!({ "tracebuffer.dev/inject": "enabled" }) } else { json!({}) };
    json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels },
    })
}
