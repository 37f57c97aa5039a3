use std::net::Ipv4Addr;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::sidecar::{self, SidecarDefaults};
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::injection::skip::SkipReason;
use crate::domain::operator::injection::trace_buffer_view::{TraceBufferLister, TraceBufferView};
use crate::domain::operator::object_key::ObjectKey;
use crate::ports::operator::admission::AdmissionFailure;

mod hostile;
mod limits;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const POD: &str = include_str!("tests/reviews/pod_of_a_deployment.json");
const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";

/// Has a `TraceBuffer` of the namespace `shop`, from the start or only after a refresh.
#[derive(Default)]
struct FakeCatalog {
    known: Mutex<Vec<Arc<TraceBufferView<Sidecar>>>>,
    new: Mutex<Vec<Arc<TraceBufferView<Sidecar>>>>,
    refresh_takes: Duration,
    knows_no_namespace: bool,
}

impl TraceBufferLister for FakeCatalog {
    type Sidecar = Sidecar;

    fn get(&self, key: &ObjectKey) -> Option<Arc<TraceBufferView<Sidecar>>> {
        self.known.lock().iter().find(|known| known.key == *key).cloned()
    }

    fn names_in(&self, namespace: &str) -> Vec<String> {
        self.known.lock().names_in(namespace)
    }
}

impl Catalog for FakeCatalog {
    async fn refresh(&self, _: &str) -> Result<(), UnknownNamespace> {
        tokio::time::sleep(self.refresh_takes).await;
        self.known.lock().append(&mut self.new.lock());
        Ok(())
    }

    async fn namespace(&self, name: &str) -> Result<Arc<NamespaceFacts>, UnknownNamespace> {
        if self.knows_no_namespace {
            return Err(UnknownNamespace(format!("namespace {name}: no answer")));
        }
        Ok(Arc::new(NamespaceFacts::unknown(name)))
    }
}

/// Records the outcomes.
#[derive(Default)]
struct RecordedOutcomes(Mutex<Vec<AdmissionOutcome>>);

impl AdmissionMonitor for RecordedOutcomes {
    fn answered(&self, outcome: AdmissionOutcome, _: Duration) {
        self.0.lock().push(outcome);
    }
}

struct Harness {
    webhook: WebhookService<FakeCatalog>,
    outcomes: Arc<RecordedOutcomes>,
}

fn shop_trace_buffer() -> Arc<TraceBufferView<Sidecar>> {
    let object: TraceBuffer = serde_json::from_value(json!({
        "apiVersion": "tracebuffer.dev/v1alpha1",
        "kind": "TraceBuffer",
        "metadata": {"name": "default", "namespace": "shop", "uid": "u-1"},
        "spec": {"destination": {"endpoint": "http://collector.observability:4317"}},
    }))
    .unwrap();
    let defaults = SidecarDefaults { image: "tracebuffer:1".into(), ..SidecarDefaults::unknown() };
    Arc::new(sidecar::trace_buffer_view(&object, &defaults))
}

impl Harness {
    fn new() -> Self {
        Self::with(FakeCatalog {
            known: Mutex::new(vec![shop_trace_buffer()]),
            ..FakeCatalog::default()
        })
    }

    fn with(catalog: FakeCatalog) -> Self {
        let outcomes = Arc::new(RecordedOutcomes::default());
        let own_namespace = "tracebuffer".to_owned();
        let cluster = ClusterFacts { operator_namespace: own_namespace, ..ClusterFacts::default() };
        let monitor = Arc::clone(&outcomes) as Arc<_>;
        Self { webhook: WebhookService::new(Arc::new(catalog), cluster, monitor), outcomes }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        self.webhook.webhook.respond(HERE, request).await
    }

    async fn post(&self, path: &str, body: impl Into<Bytes>) -> (StatusCode, String) {
        let response = self.send(request(path, body)).await;
        let status = response.status();
        (status, text(response).await)
    }

    /// Posts a review and returns its response.
    async fn review(&self, path: &str, review: &Value) -> Value {
        let (status, text) = self.post(path, review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        response_of(&text)
    }

    fn outcome(&self) -> AdmissionOutcome {
        let outcomes = self.outcomes.0.lock();
        assert_eq!(outcomes.len(), 1, "one request has one outcome");
        outcomes[0]
    }
}

fn request(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    request.body(Full::new(body.into())).unwrap()
}

async fn text(response: Response<Full<Bytes>>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Returns the response in a review after the checks of the API server (`verifyAdmissionResponse`).
fn response_of(text: &str) -> Value {
    let mut review: Value = serde_json::from_str(text).unwrap();
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(review["kind"], "AdmissionReview");
    let response = review["response"].take();
    assert_eq!(response["allowed"], true);
    let has = |field: &str| response.get(field).is_some();
    assert_eq!(has("patch"), has("patchType"), "{response}");
    response
}

fn patch_of(response: &Value) -> Vec<Value> {
    let Some(patch) = response.get("patch") else { return vec![] };
    assert_eq!(response["patchType"], "JSONPatch");
    serde_json::from_slice(&BASE64_STANDARD.decode(patch.as_str().unwrap()).unwrap()).unwrap()
}

fn pod_review() -> Value {
    serde_json::from_str(POD).unwrap()
}

#[tokio::test]
async fn a_pod_that_opts_in_gets_a_sidecar() {
    let fixture = Harness::new();

    let response = fixture.review(INJECT_PATH, &pod_review()).await;

    assert_eq!(response["uid"], UID);
    assert_eq!(response.get("warnings"), None);
    let patch = patch_of(&response);
    assert!(patch.iter().all(|operation| operation["op"] == "add"), "{patch:?}");
    let patch: json_patch::Patch = serde_json::from_value(patch.into()).unwrap();
    let mut pod = pod_review()["request"]["object"].take();
    json_patch::patch(&mut pod, &patch).unwrap();
    assert_eq!(pod["spec"]["initContainers"][0]["name"], names::SIDECAR_CONTAINER);
    assert_eq!(pod["spec"]["containers"][0]["aFieldOfTheFuture"]["deep"][1], 2.5);
    assert_eq!(fixture.outcome(), AdmissionOutcome::Injected);
}

#[tokio::test]
async fn a_skipped_pod_gets_a_warning_with_the_reason() {
    let fixture = Harness::new();
    let mut review = pod_review();
    review["request"]["object"]["spec"]["hostNetwork"] = true.into();

    let response = fixture.review(INJECT_PATH, &review).await;

    assert!(response["warnings"][0].as_str().unwrap().contains("HostNetwork"), "{response}");
    assert_eq!(patch_of(&response)[0]["op"], "add", "the status annotation is written");
    assert_eq!(fixture.outcome(), AdmissionOutcome::Skipped(SkipReason::HostNetwork));
}

#[tokio::test]
async fn a_pod_without_the_annotation_gets_a_sidecar_only_in_an_opted_in_namespace() {
    let mut review = pod_review();
    review["request"]["object"]["metadata"]["annotations"] = Value::Null;
    let (by_pod, by_namespace) = (Harness::new(), Harness::new());

    let untouched = by_pod.review(INJECT_PATH, &review).await;
    by_namespace.review(INJECT_NAMESPACE_PATH, &review).await;

    assert_eq!(untouched, json!({"uid": UID, "allowed": true}));
    assert_eq!(by_pod.outcome(), AdmissionOutcome::Skipped(SkipReason::NotRequested));
    assert_eq!(by_namespace.outcome(), AdmissionOutcome::Injected);
}

/// The namespace of the pod is not set yet if the client gave it only in the URL.
#[tokio::test]
async fn the_namespace_is_that_of_the_request() {
    let fixture = Harness::new();
    let mut review = pod_review();
    review["request"]["namespace"] = "elsewhere".into();
    review["request"]["object"]["metadata"]["namespace"] = "shop".into();

    fixture.review(INJECT_PATH, &review).await;

    assert_eq!(fixture.outcome(), AdmissionOutcome::Skipped(SkipReason::NoTraceBuffer));
}

#[tokio::test]
async fn requests_about_anything_but_a_new_pod_are_allowed_unchanged() {
    for review in [
        include_str!("tests/reviews/pod_that_is_updated.json"),
        include_str!("tests/reviews/pod_that_is_deleted.json"),
        include_str!("tests/reviews/ephemeral_containers.json"),
        include_str!("tests/reviews/binding.json"),
        include_str!("tests/reviews/deployment.json"),
    ] {
        let fixture = Harness::new();

        let (status, text) = fixture.post(INJECT_PATH, review).await;

        assert_eq!(status, StatusCode::OK, "{text}");
        assert_eq!(response_of(&text), json!({"uid": UID, "allowed": true}));
        assert_eq!(fixture.outcome(), AdmissionOutcome::NotANewPod);
    }
}

#[tokio::test]
async fn a_dry_run_is_reviewed_like_any_other_request() {
    let fixture = Harness::new();
    let mut review = pod_review();
    review["request"]["dryRun"] = true.into();

    assert!(!patch_of(&fixture.review(INJECT_PATH, &review).await).is_empty());
}

#[tokio::test]
async fn a_trace_buffer_created_just_before_its_pod_is_found() {
    let fixture = Harness::with(FakeCatalog {
        new: Mutex::new(vec![shop_trace_buffer()]),
        ..FakeCatalog::default()
    });

    fixture.review(INJECT_PATH, &pod_review()).await;

    assert_eq!(fixture.outcome(), AdmissionOutcome::Injected);
}

#[tokio::test]
async fn the_response_is_json() {
    let response = Harness::new().send(request(INJECT_PATH, POD)).await;

    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
}

#[tokio::test]
async fn a_pod_of_a_namespace_that_cannot_be_read_is_left_to_the_failure_policy() {
    let catalog = FakeCatalog { knows_no_namespace: true, ..FakeCatalog::default() };
    let fixture = Harness::with(catalog);

    let (status, text) = fixture.post(INJECT_PATH, POD).await;

    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert!(text.contains("namespace shop: no answer"), "{text}");
    let failure = AdmissionFailure::UnknownNamespace;
    assert_eq!(fixture.outcome(), AdmissionOutcome::Failed(failure));
}
