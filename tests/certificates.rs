//! The webhook's certificates against an API server: what is stored and published, and what the
//! replicas serve.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken test should say so")]

#[path = "support/api_server.rs"]
mod api_server;

use std::sync::Arc;
use std::time::Duration;

use api_server::{ApiServer, Calls, Fault, Verb};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracebuffer::adapters::clock::{SystemClock, SystemWallClock};
use tracebuffer::adapters::kubernetes::certificates::{
    Authority, CertificateFollower, CertificateObjects, ServedCertificate,
};
use tracebuffer::application::keep_certificates::CertificateKeeper;
use tracebuffer::ports::certificates::{CertificateMonitor, CertificateStore, StoreError};

const NAMESPACE: &str = "observability";
const SECRET: &str = "tracebuffer-webhook-tls";
const CONFIGURATION: &str = "tracebuffer";
const CONFIGURATIONS: &str = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
const HOST: &str = "tracebuffer-webhook.observability.svc";
const SECOND: Duration = Duration::from_secs(1);

/// The replicas of an operator beside an API server.
struct Scene {
    api: ApiServer,
    tasks: JoinSet<()>,
    failures: Arc<Failures>,
}

#[derive(Default)]
struct Failures(Mutex<usize>);

impl CertificateMonitor for Failures {
    fn stored(&self, _authority_until: Duration, _leaf_until: Duration) {}

    fn failed(&self) {
        *self.0.lock() += 1;
    }
}

impl Scene {
    fn new() -> Self {
        let api = ApiServer::new();
        api.put(CONFIGURATIONS, configuration());
        Self { api, tasks: JoinSet::new(), failures: Arc::default() }
    }

    fn objects(&self) -> CertificateObjects {
        CertificateObjects::new(self.api.client(), NAMESPACE, SECRET, CONFIGURATION)
    }

    fn follow(&mut self, follower: CertificateFollower) -> Arc<ServedCertificate> {
        let served = follower.served();
        self.tasks.spawn(async move { follower.run().await });
        served
    }

    fn replica(&mut self) -> Arc<ServedCertificate> {
        self.follow(CertificateFollower::of_secret(self.objects()))
    }

    fn leader(&mut self) -> Arc<ServedCertificate> {
        let follower = CertificateFollower::of_secret(self.objects());
        let clocks = (SystemClock::new(), SystemWallClock);
        let (issuer, monitor) = (Authority::new(HOST), Arc::clone(&self.failures));
        let keeper = CertificateKeeper::new(issuer, self.objects(), monitor, clocks, || 7_000_000);
        let changes = follower.changes();
        self.tasks.spawn(async move {
            let leading = watch::Sender::new(true);
            keeper.run(leading.subscribe(), changes).await;
        });
        self.follow(follower)
    }

    fn secret(&self) -> Value {
        self.api.get("secrets", NAMESPACE, SECRET).unwrap()
    }

    fn published(&self) -> Vec<Value> {
        let found = self.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
        let entries = found["webhooks"].as_array().unwrap().iter();
        entries.map(|entry| entry["clientConfig"]["caBundle"].clone()).collect()
    }

    /// Somebody annotates the Secret.
    fn annotate(&self, key: &str, value: &str) {
        let mut secret = self.secret();
        secret["metadata"]["annotations"][key] = value.into();
        self.api.put("secrets", secret);
    }
}

fn configuration() -> Value {
    let entry = |name: &str, path: &str| {
        json!({
            "name": name,
            "clientConfig": { "service": { "name": "tracebuffer-webhook", "namespace": NAMESPACE, "path": path } },
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "aFieldOfTheFuture": { "kept": true },
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": CONFIGURATION, "labels": { "app": "tracebuffer" } },
        "webhooks": [
            entry("inject.tracebuffer.dev", "/inject"),
            entry("inject-namespace.tracebuffer.dev", "/inject-namespace"),
        ],
    })
}

#[tokio::test(start_paused = true)]
async fn a_fresh_install_is_trusted_within_a_second_by_every_replica() {
    let mut scene = Scene::new();
    let (leader, replica) = (scene.leader(), scene.replica());

    sleep(SECOND).await;

    let secret = scene.secret();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let data = secret["data"].as_object().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "ca.key", "tls.crt", "tls.key"]);
    assert_eq!(scene.published(), [data["ca.crt"].clone(), data["ca.crt"].clone()]);
    assert!(leader.is_trusted() && replica.is_trusted());
    assert_eq!(leader.valid_until(), replica.valid_until());
    assert!(replica.valid_until().is_some());
    assert_eq!(*scene.failures.0.lock(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_the_configuration_changes_but_the_bundle() {
    let mut scene = Scene::new();
    let before = scene.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
    scene.leader();

    sleep(SECOND).await;

    let mut after = scene.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
    for entry in after["webhooks"].as_array_mut().unwrap() {
        assert!(entry["clientConfig"].as_object_mut().unwrap().remove("caBundle").is_some());
    }
    assert_eq!(after["webhooks"], before["webhooks"]);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_renders_the_configuration_without_the_bundle_is_repaired_within_a_second()
{
    let mut scene = Scene::new();
    let replica = scene.replica();
    scene.leader();
    sleep(SECOND).await;
    let bundle = scene.published();

    scene.api.put(CONFIGURATIONS, configuration());
    sleep(SECOND).await;

    assert_eq!(scene.published(), bundle);
    assert!(replica.is_trusted());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_on_request_reaches_every_replica_and_leaves_others_marks_on_the_secret() {
    let mut scene = Scene::new();
    let replica = scene.replica();
    scene.leader();
    sleep(120 * SECOND).await;
    let (bundle, leaf) = (scene.published(), scene.secret()["data"]["tls.crt"].clone());
    scene.annotate("example.com/owner", "me");

    scene.annotate("tracebuffer.dev/rotate", "today");
    sleep(SECOND).await;
    assert_ne!(scene.published(), bundle);
    assert_eq!(scene.secret()["data"]["tls.crt"], leaf, "API servers first learn the authority");
    sleep(60 * SECOND).await;
    assert_ne!(scene.secret()["data"]["tls.crt"], leaf);
    assert!(replica.is_trusted());

    sleep(700 * SECOND).await;
    let annotations = &scene.secret()["metadata"]["annotations"];
    assert_eq!(annotations["example.com/owner"], "me");
    assert_eq!(annotations["tracebuffer.dev/rotate"], "today");
    assert_eq!(annotations["tracebuffer.dev/rotated"], "today");
    assert!(replica.is_trusted(), "and the older authority is gone");
    let published = scene.objects().published().await.unwrap().unwrap().value.bundles;
    let pem = String::from_utf8(published[0].clone()).unwrap();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 1, "{pem}");
}

#[tokio::test(start_paused = true)]
async fn lost_answers_conflicts_broken_watches_and_expired_versions_only_delay() {
    let mut scene = Scene::new();
    for (verb, resource) in [
        (Verb::Create, "secrets"),
        (Verb::Patch, "secrets"),
        (Verb::Patch, CONFIGURATIONS),
        (Verb::Get, "secrets"),
    ] {
        scene.api.script(Calls::to(verb, resource).times(1), Fault::DropAnswer);
        scene.api.script(Calls::to(verb, resource).times(1), Fault::Refuse(409));
    }
    let (leader, replica) = (scene.leader(), scene.replica());
    sleep(30 * SECOND).await;
    assert!(leader.is_trusted() && replica.is_trusted());

    for round in 0..3 {
        sleep(90 * SECOND).await;
        scene.api.expire();
        scene.api.break_watches("secrets");
        scene.api.break_watches(CONFIGURATIONS);
        let before = leader.valid_until();
        scene.annotate("tracebuffer.dev/rotate", &round.to_string());
        sleep(90 * SECOND).await;
        assert!(leader.is_trusted() && replica.is_trusted(), "round {round}");
        assert_eq!(leader.valid_until(), replica.valid_until());
        assert!(leader.valid_until() >= before);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_operator_may_not_do_is_said_with_the_object_and_the_remedy() {
    let scene = Scene::new();
    scene.api.script(Calls::to(Verb::Get, "secrets"), Fault::Refuse(403));

    let StoreError::Failed(error) = scene.objects().keyring().await.unwrap_err() else {
        panic!("no conflict")
    };

    assert!(
        error.starts_with(
            "Secret observability/tracebuffer-webhook-tls: the operator may not get it ("
        ) && error.ends_with("correct the chart's Role"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_with_an_old_version_is_a_conflict_and_changes_nothing() {
    let mut scene = Scene::new();
    scene.leader();
    sleep(SECOND).await;
    scene.tasks.abort_all();
    let objects = scene.objects();
    let keyring = objects.keyring().await.unwrap().unwrap();
    let published = objects.published().await.unwrap().unwrap();
    scene.annotate("a", "b");
    scene.api.put(CONFIGURATIONS, configuration());
    let before = (scene.secret(), scene.published());

    for refused in [
        objects.keep(&keyring.value, Some(&keyring.version)).await,
        objects.keep(&keyring.value, None).await,
        objects.publish(b"stale", &published).await,
    ] {
        assert_eq!(refused, Err(StoreError::Conflict));
    }

    assert_eq!((scene.secret(), scene.published()), before);
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_certificate_is_followed_as_files_and_nothing_is_written() {
    let mut maker = Scene::new();
    maker.leader();
    sleep(SECOND).await;
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new();
    let follower = CertificateFollower::of_files(scene.objects(), folder.path().to_owned());
    let served = scene.follow(follower);
    sleep(SECOND).await;
    assert_eq!(served.valid_until(), None);

    let keyring = maker.objects().keyring().await.unwrap().unwrap().value;
    std::fs::write(folder.path().join("tls.crt"), &keyring.leaf).unwrap();
    std::fs::write(folder.path().join("tls.key"), &keyring.leaf_key).unwrap();
    sleep(10 * SECOND).await;
    assert!(served.valid_until().is_some());
    assert!(!served.is_trusted(), "nobody has published its authority");

    let theirs = maker.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
    scene.api.put(CONFIGURATIONS, theirs);
    sleep(SECOND).await;
    assert!(served.is_trusted());

    std::fs::write(folder.path().join("tls.crt"), "half a certifi").unwrap();
    sleep(20 * SECOND).await;
    assert!(served.is_trusted(), "the last one is served on");
    for verb in [Verb::Create, Verb::Patch, Verb::Replace] {
        assert_eq!(scene.api.seen(verb, "secrets") + scene.api.seen(verb, CONFIGURATIONS), 0);
    }
}
