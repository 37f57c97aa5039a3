//! The webhook's certificates against an API server: what is stored, published, and served.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::support::api_server::{ApiServer, Fault, RequestMatcher, Verb};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracebuffer::adapters::clock::{SystemWallClock, TokioClock};
use tracebuffer::adapters::kubernetes::certificates::{
    CertificateObjectNames, CertificateWatcher, KubeCertificateStore, RcgenIssuer,
    ServedCertificate,
};
use tracebuffer::application::operator::publish_authorities::AuthorityPublisher;
use tracebuffer::application::operator::rotate_certificates::CertificateRotator;
use tracebuffer::domain::operator::rotation::Validity;
use tracebuffer::ports::clock::WallClock;
use tracebuffer::ports::operator::certificates::{
    CertificateIssuer, CertificateMonitor, CertificateStore, StoreError, WebhookTls,
};

mod lost_secret;
mod unanswered;

const NAMESPACE: &str = "observability";
const SECRET: &str = "tracebuffer-webhook-tls";
const GIVEN: &str = "given";
const CONFIGURATION: &str = "tracebuffer";
const CONFIGURATIONS: &str = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
const HOST: &str = "tracebuffer-webhook.observability.svc";
const MODE: &str = "tracebuffer.dev/certificates";
const SECOND: Duration = Duration::from_secs(1);

/// The replicas of an operator beside an API server.
struct Harness {
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

    fn leadership_lost(&self) {}
}

impl Harness {
    fn new() -> Self {
        let api = ApiServer::new();
        api.put(CONFIGURATIONS, configuration());
        Self { api, tasks: JoinSet::new(), failures: Arc::default() }
    }

    /// The store of an operator that issues the certificate itself.
    fn objects(&self) -> KubeCertificateStore {
        self.objects_of("self", SECRET)
    }

    fn objects_of(&self, mode: &'static str, secret: &str) -> KubeCertificateStore {
        let (namespace, secret) = (NAMESPACE.to_owned(), secret.to_owned());
        let configuration = CONFIGURATION.to_owned();
        KubeCertificateStore::new(
            self.api.client(),
            CertificateObjectNames { namespace, secret, configuration, mode },
        )
    }

    fn follow(&mut self, watcher: CertificateWatcher) -> Arc<ServedCertificate> {
        let served = watcher.served();
        self.tasks.spawn(async move { watcher.run().await });
        served
    }

    fn replica(&mut self) -> Arc<ServedCertificate> {
        self.follow(CertificateWatcher::new(self.objects()))
    }

    /// A replica with a supplied certificate in a Secret, and optionally the authority in a file.
    fn given(&mut self, authorities: Option<PathBuf>) -> Arc<ServedCertificate> {
        let objects = self.objects_of("existingSecret", GIVEN).with_ca_file(authorities);
        let watcher = CertificateWatcher::new(objects.clone());
        let (issuer, monitor) = (RcgenIssuer::new(HOST), Arc::clone(&self.failures));
        let publisher =
            AuthorityPublisher::new(issuer, objects, monitor, TokioClock::new(), || 7_000_000);
        let changes = watcher.changes();
        self.tasks.spawn(async move { publisher.run(changes).await });
        self.follow(watcher)
    }

    /// A replica of an operator that leaves the certificate to cert-manager, in the same Secret.
    fn passive(&mut self) -> Arc<ServedCertificate> {
        self.follow(CertificateWatcher::new(self.objects_of("certManager", SECRET)))
    }

    /// Upgrades the chart to another mode.
    fn upgrade(&self, mode: &str) {
        let mut found = self.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
        found["metadata"]["annotations"][MODE] = mode.into();
        self.api.put(CONFIGURATIONS, found);
    }

    /// Supplies a certificate in a Secret, with its authority or without.
    fn give(&self, secret: &str, made: &WebhookTls, with_authority: bool) {
        let text = |pem: &[u8]| Value::from(BASE64_STANDARD.encode(pem));
        let mut data = json!({ "tls.crt": text(&made.leaf), "tls.key": text(&made.leaf_key) });
        if with_authority {
            data["ca.crt"] = text(&made.bundle);
        }
        self.api.put(
            "secrets",
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data,
                "metadata": { "name": secret, "namespace": NAMESPACE },
            }),
        );
    }

    /// Publishes an authority without an annotation, as cert-manager does.
    fn inject(&self, made: &WebhookTls) {
        let mut found = self.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
        for entry in found["webhooks"].as_array_mut().unwrap() {
            entry["clientConfig"]["caBundle"] = BASE64_STANDARD.encode(&made.bundle).into();
        }
        self.api.put(CONFIGURATIONS, found);
    }

    /// Returns how many authorities API servers trust.
    fn trusted(&self) -> usize {
        let published = self.published();
        assert_eq!(published[0], published[1]);
        let pem = BASE64_STANDARD.decode(published[0].as_str().unwrap_or_default()).unwrap();
        String::from_utf8(pem).unwrap().matches("BEGIN CERTIFICATE").count()
    }

    fn leader(&mut self) -> Arc<ServedCertificate> {
        let watcher = CertificateWatcher::new(self.objects());
        let clocks = (TokioClock::new(), SystemWallClock);
        let (issuer, monitor) = (RcgenIssuer::new(HOST), Arc::clone(&self.failures));
        let served = watcher.served();
        let is_trusted = move || served.is_trusted();
        let objects = self.objects();
        let rotator =
            CertificateRotator::new(issuer, objects, monitor, clocks, is_trusted, || 7_000_000);
        let changes = watcher.changes();
        self.tasks.spawn(async move {
            let leading = watch::Sender::new(true);
            rotator.run(leading.subscribe(), changes).await;
        });
        self.follow(watcher)
    }

    fn secret(&self) -> Value {
        self.api.get("secrets", NAMESPACE, SECRET).unwrap()
    }

    fn published(&self) -> Vec<Value> {
        let found = self.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
        let entries = found["webhooks"].as_array().unwrap().iter();
        entries.map(|entry| entry["clientConfig"]["caBundle"].clone()).collect()
    }

    /// Annotates the Secret.
    fn annotate(&self, key: &str, value: &str) {
        let mut secret = self.secret();
        secret["metadata"]["annotations"][key] = value.into();
        self.api.put("secrets", secret);
    }
}

/// An authority, and a certificate that it issued.
fn made() -> WebhookTls {
    made_at(SystemWallClock.now())
}

fn made_at(now: Duration) -> WebhookTls {
    let (issuer, validity) = (RcgenIssuer::new(HOST), Validity::of_authority(now));
    let tls = issuer.add_authority(&WebhookTls::default(), validity).unwrap();
    issuer.issue_leaf(&tls, Validity::of_leaf(now, validity)).unwrap()
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
async fn every_replica_of_a_fresh_install_is_trusted_within_a_second() {
    let mut harness = Harness::new();
    let (leader, replica) = (harness.leader(), harness.replica());

    sleep(SECOND).await;

    let secret = harness.secret();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let data = secret["data"].as_object().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "ca.key", "tls.crt", "tls.key"]);
    assert_eq!(harness.published(), [data["ca.crt"].clone(), data["ca.crt"].clone()]);
    assert!(leader.is_trusted() && replica.is_trusted());
    assert_eq!(leader.valid_until(), replica.valid_until());
    assert!(replica.valid_until().is_some());
    assert_eq!(*harness.failures.0.lock(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_the_bundle_of_the_configuration_changes() {
    let mut harness = Harness::new();
    let before = harness.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
    harness.leader();

    sleep(SECOND).await;

    let mut after = harness.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
    for entry in after["webhooks"].as_array_mut().unwrap() {
        assert!(entry["clientConfig"].as_object_mut().unwrap().remove("caBundle").is_some());
    }
    assert_eq!(after["webhooks"], before["webhooks"]);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_renders_the_configuration_without_the_bundle_is_repaired_within_a_second()
{
    let mut harness = Harness::new();
    let replica = harness.replica();
    harness.leader();
    sleep(SECOND).await;
    let bundle = harness.published();

    harness.api.put(CONFIGURATIONS, configuration());
    sleep(SECOND).await;

    assert_eq!(harness.published(), bundle);
    assert!(replica.is_trusted());
}

#[tokio::test(start_paused = true)]
async fn a_requested_rotation_reaches_every_replica_and_keeps_other_annotations_of_the_secret() {
    let mut harness = Harness::new();
    let replica = harness.replica();
    harness.leader();
    sleep(120 * SECOND).await;
    let (bundle, leaf) = (harness.published(), harness.secret()["data"]["tls.crt"].clone());
    harness.annotate("example.com/owner", "me");

    harness.annotate("tracebuffer.dev/rotate", "today");
    sleep(SECOND).await;
    assert_ne!(harness.published(), bundle);
    assert_eq!(harness.secret()["data"]["tls.crt"], leaf, "the authority is published first");
    sleep(60 * SECOND).await;
    assert_ne!(harness.secret()["data"]["tls.crt"], leaf);
    assert!(replica.is_trusted());

    sleep(700 * SECOND).await;
    let annotations = &harness.secret()["metadata"]["annotations"];
    assert_eq!(annotations["example.com/owner"], "me");
    assert_eq!(annotations["tracebuffer.dev/rotate"], "today");
    assert_eq!(annotations["tracebuffer.dev/rotated"], "today");
    assert!(replica.is_trusted(), "after the older authority was removed");
    let published = harness.objects().read_publication().await.unwrap().unwrap().value.bundles;
    let pem = String::from_utf8(published[0].clone()).unwrap();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 1, "{pem}");
}

#[tokio::test(start_paused = true)]
async fn lost_responses_conflicts_broken_watches_and_expired_versions_only_cause_delays() {
    let mut harness = Harness::new();
    for (verb, resource) in [
        (Verb::Create, "secrets"),
        (Verb::Patch, "secrets"),
        (Verb::Patch, CONFIGURATIONS),
        (Verb::Get, "secrets"),
    ] {
        harness.api.script(RequestMatcher::to(verb, resource).times(1), Fault::DropResponse);
        harness.api.script(RequestMatcher::to(verb, resource).times(1), Fault::Refuse(409));
    }
    let (leader, replica) = (harness.leader(), harness.replica());
    sleep(30 * SECOND).await;
    assert!(leader.is_trusted() && replica.is_trusted());

    for round in 0..3 {
        sleep(90 * SECOND).await;
        harness.api.expire();
        harness.api.break_watches("secrets");
        harness.api.break_watches(CONFIGURATIONS);
        let before = leader.valid_until();
        harness.annotate("tracebuffer.dev/rotate", &round.to_string());
        sleep(90 * SECOND).await;
        assert!(leader.is_trusted() && replica.is_trusted(), "round {round}");
        assert_eq!(leader.valid_until(), replica.valid_until());
        assert!(leader.valid_until() >= before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_request_is_an_error_with_the_object_and_the_remedy() {
    let harness = Harness::new();
    harness.api.script(RequestMatcher::to(Verb::Get, "secrets"), Fault::Refuse(403));

    let StoreError::Failed(error) = harness.objects().read_tls().await.unwrap_err() else {
        panic!("unexpected conflict")
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
    let mut harness = Harness::new();
    harness.leader();
    sleep(SECOND).await;
    harness.tasks.abort_all();
    let objects = harness.objects();
    let tls = objects.read_tls().await.unwrap().unwrap();
    let published = objects.read_publication().await.unwrap().unwrap();
    harness.annotate("a", "b");
    harness.api.put(CONFIGURATIONS, configuration());
    let before = (harness.secret(), harness.published());

    for refused in [
        objects.write_tls(&tls.value, Some(&tls.version)).await,
        objects.write_tls(&tls.value, None).await,
        objects.publish(b"stale", &published).await,
    ] {
        assert_eq!(refused, Err(StoreError::Conflict));
    }

    assert_eq!((harness.secret(), harness.published()), before);
}

#[tokio::test(start_paused = true)]
async fn a_supplied_certificate_is_published_and_renewed_and_always_trusted() {
    let mut harness = Harness::new();
    harness.upgrade("existingSecret/given");
    let (first, second) = (made(), made());
    harness.give(GIVEN, &first, true);
    let replicas = [harness.given(None), harness.given(None)];
    sleep(SECOND).await;
    assert!(replicas.iter().all(|served| served.is_trusted()));
    let writes = harness.api.seen(Verb::Patch, CONFIGURATIONS);
    let version = harness.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
    assert!(writes <= 2, "one replica publishes, another may try once: {writes}");

    harness.give(GIVEN, &second, true);
    for _ in 0..30 {
        sleep(SECOND / 2).await;
        assert!(replicas.iter().all(|served| served.is_trusted()));
    }

    assert_eq!(harness.trusted(), 2);
    sleep(600 * SECOND).await;
    assert!(replicas.iter().all(|served| served.is_trusted()));
    assert_eq!(harness.trusted(), 1, "the first authority was removed");
    assert_ne!(harness.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap(), version);
    assert_eq!(
        harness.api.seen(Verb::Create, "secrets") + harness.api.seen(Verb::Patch, "secrets"),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn the_authority_of_a_supplied_certificate_may_be_in_a_file_and_arrive_later() {
    let mut harness = Harness::new();
    harness.upgrade("existingSecret/given");
    let (folder, made) = (tempfile::tempdir().unwrap(), made());
    let file = folder.path().join("ca.crt");
    harness.give(GIVEN, &made, false);
    let served = harness.given(Some(file.clone()));
    sleep(10 * SECOND).await;
    assert!(served.valid_until().is_some() && !served.is_trusted());
    assert!(*harness.failures.0.lock() > 0);

    std::fs::write(file, &made.bundle).unwrap();
    sleep(10 * SECOND).await;

    assert!(served.is_trusted());
}

#[tokio::test(start_paused = true)]
async fn switching_the_mode_back_and_forth_takes_a_second_and_keeps_replicas_trusted() {
    let mut harness = Harness::new();
    harness.upgrade("self/tracebuffer-webhook-tls");
    harness.give(GIVEN, &made(), true);
    let old = harness.leader();
    sleep(SECOND).await;
    assert!(old.is_trusted());
    let new = harness.given(None);
    sleep(60 * SECOND).await;
    assert!(old.is_trusted() && !new.is_trusted(), "the mode has not changed yet");

    for mode in ["existingSecret/given", "self/tracebuffer-webhook-tls", "existingSecret/given"] {
        harness.upgrade(mode);
        sleep(SECOND).await;
        for _ in 0..50 {
            assert!(old.is_trusted() && new.is_trusted(), "{mode}");
            sleep(SECOND).await;
        }
        let found = harness.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
        assert_eq!(
            found["metadata"]["annotations"]["tracebuffer.dev/certificates-published"],
            mode
        );
    }

    sleep(660 * SECOND).await;
    assert!(new.is_trusted() && !old.is_trusted(), "the old authority was removed");
    assert_eq!(harness.trusted(), 1);
}

#[tokio::test(start_paused = true)]
async fn switching_to_cert_manager_and_back_ends_trusted_in_either_order() {
    for secret_first in [true, false] {
        let mut harness = Harness::new();
        harness.upgrade("self/tracebuffer-webhook-tls");
        let (old, new) = (harness.leader(), harness.passive());
        sleep(SECOND).await;
        let theirs = made();

        harness.upgrade("certManager/tracebuffer-webhook-tls");
        if secret_first {
            harness.give(SECRET, &theirs, true);
        } else {
            harness.inject(&theirs);
        }
        sleep(60 * SECOND).await;
        assert!(secret_first == (old.is_trusted() && new.is_trusted()));
        harness.give(SECRET, &theirs, true);
        harness.inject(&theirs);
        sleep(SECOND).await;
        assert!(old.is_trusted() && new.is_trusted());
        assert_eq!(harness.trusted(), 1);

        harness.upgrade("self/tracebuffer-webhook-tls");
        for _ in 0..60 {
            sleep(SECOND).await;
            assert!(old.is_trusted() && new.is_trusted());
        }
        assert_eq!(harness.trusted(), 2);
        sleep(660 * SECOND).await;
        assert_eq!(harness.trusted(), 1);
        assert!(old.is_trusted() && new.is_trusted());
    }
}
