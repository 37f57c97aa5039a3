//! Objects to watch, and somebody who hears of them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tracebuffer::domain::injection::candidate::ObjectKey;
use tracebuffer::domain::injection::pod_record::PodRecord;
use tracebuffer::ports::pods::Changes;

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

/// Waits, in paused time, until something is true.
pub(crate) async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let wait = async {
        while !is_true() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(Duration::from_mins(10), wait).await.is_ok(), "never came true: {what}");
}

/// Notes what it hears.
#[derive(Default)]
pub(crate) struct Heard {
    words: Mutex<Vec<String>>,
}

impl Heard {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What was heard since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.words.lock())
    }

    fn note(&self, word: String) {
        self.words.lock().push(word);
    }
}

impl Changes for Heard {
    fn trace_buffer(&self, key: &ObjectKey) {
        self.note(format!("tb {}/{}", key.namespace, key.name));
    }

    fn pod(&self, pod: &PodRecord) {
        self.note(format!("pod {}/{}", pod.key.namespace, pod.key.name));
    }

    fn namespace(&self, name: &str) {
        self.note(format!("ns {name}"));
    }

    fn everything(&self) {
        self.note("everything".into());
    }
}

pub(crate) fn pod(namespace: &str, name: &str, annotations: impl Into<Value>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "annotations": annotations.into() },
        "spec": { "containers": [] }, "status": { "phase": "Running" },
    })
}

pub(crate) fn namespace(name: &str, asks: bool) -> Value {
    let labels = if asks { json!({ "tracebuffer.dev/inject": "enabled" }) } else { json!({}) };
    json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels },
    })
}
