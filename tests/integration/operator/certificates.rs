//! The webhook's certificates against an API server: what is stored and published, and what the
//! replicas serve.

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
use tracebuffer::adapters::clock::{SystemClock, SystemWallClock};
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

    /// As an operator sees them that makes the certificate itself.
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

    fn follow(&mut self, follower: CertificateWatcher) -> Arc<ServedCertificate> {
        let served = follower.served();
        self.tasks.spawn(async move { follower.run().await });
        served
    }

    fn replica(&mut self) -> Arc<ServedCertificate> {
        self.follow(CertificateWatcher::new(self.objects()))
    }

    /// A replica that is given its certificate in a Secret, and perhaps the authority as a file.
    fn given(&mut self, authorities: Option<PathBuf>) -> Arc<ServedCertificate> {
        let objects = self.objects_of("existingSecret", GIVEN).with_ca_file(authorities);
        let follower = CertificateWatcher::new(objects.clone());
        let (issuer, monitor) = (RcgenIssuer::new(HOST), Arc::clone(&self.failures));
        let publisher =
            AuthorityPublisher::new(issuer, objects, monitor, SystemClock::new(), || 7_000_000);
        let changes = follower.changes();
        self.tasks.spawn(async move { publisher.run(changes).await });
        self.follow(follower)
    }

    /// A replica of an operator that leaves all to cert-manager, in the Secret that it had before.
    fn passive(&mut self) -> Arc<ServedCertificate> {
        self.follow(CertificateWatcher::new(self.objects_of("certManager", SECRET)))
    }

    /// The chart is upgraded to another mode.
    fn upgrade(&self, keeper: &str) {
        let mut found = self.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
        found["metadata"]["annotations"][MODE] = keeper.into();
        self.api.put(CONFIGURATIONS, found);
    }

    /// Somebody puts a certificate into a Secret, with its authority or without.
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

    /// Somebody without a note publishes an authority alone, as cert-manager does.
    fn inject(&self, made: &WebhookTls) {
        let mut found = self.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
        for entry in found["webhooks"].as_array_mut().unwrap() {
            entry["clientConfig"]["caBundle"] = BASE64_STANDARD.encode(&made.bundle).into();
        }
        self.api.put(CONFIGURATIONS, found);
    }

    /// How many certificates API servers trust.
    fn trusted(&self) -> usize {
        let published = self.published();
        assert_eq!(published[0], published[1]);
        let pem = BASE64_STANDARD.decode(published[0].as_str().unwrap_or_default()).unwrap();
        String::from_utf8(pem).unwrap().matches("BEGIN CERTIFICATE").count()
    }

    fn leader(&mut self) -> Arc<ServedCertificate> {
        let follower = CertificateWatcher::new(self.objects());
        let clocks = (SystemClock::new(), SystemWallClock);
        let (issuer, monitor) = (RcgenIssuer::new(HOST), Arc::clone(&self.failures));
        let keeper = CertificateRotator::new(issuer, self.objects(), monitor, clocks, || 7_000_000);
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

/// An authority of somebody else's, and a certificate of it.
fn made() -> WebhookTls {
    let now = SystemWallClock.now();
    let (issuer, validity) = (RcgenIssuer::new(HOST), Validity::of_authority(now));
    let keyring = issuer.add_authority(&WebhookTls::default(), validity).unwrap();
    issuer.issue_leaf(&keyring, Validity::of_leaf(now, validity)).unwrap()
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
    let mut scene = Harness::new();
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
    let mut scene = Harness::new();
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
    let mut scene = Harness::new();
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
    let mut scene = Harness::new();
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
    let published = scene.objects().read_publication().await.unwrap().unwrap().value.bundles;
    let pem = String::from_utf8(published[0].clone()).unwrap();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 1, "{pem}");
}

#[tokio::test(start_paused = true)]
async fn lost_answers_conflicts_broken_watches_and_expired_versions_only_delay() {
    let mut scene = Harness::new();
    for (verb, resource) in [
        (Verb::Create, "secrets"),
        (Verb::Patch, "secrets"),
        (Verb::Patch, CONFIGURATIONS),
        (Verb::Get, "secrets"),
    ] {
        scene.api.script(RequestMatcher::to(verb, resource).times(1), Fault::DropResponse);
        scene.api.script(RequestMatcher::to(verb, resource).times(1), Fault::Refuse(409));
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
    let scene = Harness::new();
    scene.api.script(RequestMatcher::to(Verb::Get, "secrets"), Fault::Refuse(403));

    let StoreError::Failed(error) = scene.objects().read_tls().await.unwrap_err() else {
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
    let mut scene = Harness::new();
    scene.leader();
    sleep(SECOND).await;
    scene.tasks.abort_all();
    let objects = scene.objects();
    let keyring = objects.read_tls().await.unwrap().unwrap();
    let published = objects.read_publication().await.unwrap().unwrap();
    scene.annotate("a", "b");
    scene.api.put(CONFIGURATIONS, configuration());
    let before = (scene.secret(), scene.published());

    for refused in [
        objects.write_tls(&keyring.value, Some(&keyring.version)).await,
        objects.write_tls(&keyring.value, None).await,
        objects.publish(b"stale", &published).await,
    ] {
        assert_eq!(refused, Err(StoreError::Conflict));
    }

    assert_eq!((scene.secret(), scene.published()), before);
}

#[tokio::test(start_paused = true)]
async fn a_given_certificate_is_published_and_renewed_without_a_moment_of_distrust() {
    let mut scene = Harness::new();
    scene.upgrade("existingSecret/given");
    let (first, second) = (made(), made());
    scene.give(GIVEN, &first, true);
    let replicas = [scene.given(None), scene.given(None)];
    sleep(SECOND).await;
    assert!(replicas.iter().all(|served| served.is_trusted()));
    let writes = scene.api.seen(Verb::Patch, CONFIGURATIONS);
    let version = scene.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
    assert!(writes <= 2, "one of them publishes, and one may learn that it is done: {writes}");

    scene.give(GIVEN, &second, true);
    for _ in 0..30 {
        sleep(SECOND / 2).await;
        assert!(replicas.iter().all(|served| served.is_trusted()));
    }

    assert_eq!(scene.trusted(), 2);
    sleep(600 * SECOND).await;
    assert!(replicas.iter().all(|served| served.is_trusted()));
    assert_eq!(scene.trusted(), 1, "the first is forgotten, so it is the second that is served");
    assert_ne!(scene.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap(), version);
    assert_eq!(scene.api.seen(Verb::Create, "secrets") + scene.api.seen(Verb::Patch, "secrets"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_authority_of_a_given_certificate_may_be_in_a_file_and_come_later() {
    let mut scene = Harness::new();
    scene.upgrade("existingSecret/given");
    let (folder, made) = (tempfile::tempdir().unwrap(), made());
    let file = folder.path().join("ca.crt");
    scene.give(GIVEN, &made, false);
    let served = scene.given(Some(file.clone()));
    sleep(10 * SECOND).await;
    assert!(served.valid_until().is_some() && !served.is_trusted());
    assert!(*scene.failures.0.lock() > 0);

    std::fs::write(file, &made.bundle).unwrap();
    sleep(10 * SECOND).await;

    assert!(served.is_trusted());
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_mode_and_back_is_a_matter_of_a_second_and_nobody_is_distrusted() {
    let mut scene = Harness::new();
    scene.upgrade("self/tracebuffer-webhook-tls");
    scene.give(GIVEN, &made(), true);
    let old = scene.leader();
    sleep(SECOND).await;
    assert!(old.is_trusted());
    let new = scene.given(None);
    sleep(60 * SECOND).await;
    assert!(old.is_trusted() && !new.is_trusted(), "it is not its turn yet");

    for mode in ["existingSecret/given", "self/tracebuffer-webhook-tls", "existingSecret/given"] {
        scene.upgrade(mode);
        sleep(SECOND).await;
        for _ in 0..50 {
            assert!(old.is_trusted() && new.is_trusted(), "{mode}");
            sleep(SECOND).await;
        }
        let found = scene.api.get(CONFIGURATIONS, "", CONFIGURATION).unwrap();
        assert_eq!(
            found["metadata"]["annotations"]["tracebuffer.dev/certificates-published"],
            mode
        );
    }

    sleep(660 * SECOND).await;
    assert!(new.is_trusted() && !old.is_trusted(), "replicas of the old mode have long gone");
    assert_eq!(scene.trusted(), 1);
}

#[tokio::test(start_paused = true)]
async fn to_cert_manager_and_back_replicas_serve_what_is_trusted_whatever_comes_first() {
    for secret_first in [true, false] {
        let mut scene = Harness::new();
        scene.upgrade("self/tracebuffer-webhook-tls");
        let (old, new) = (scene.leader(), scene.passive());
        sleep(SECOND).await;
        let theirs = made();

        scene.upgrade("certManager/tracebuffer-webhook-tls");
        if secret_first {
            scene.give(SECRET, &theirs, true);
        } else {
            scene.inject(&theirs);
        }
        sleep(60 * SECOND).await;
        assert!(secret_first == (old.is_trusted() && new.is_trusted()));
        scene.give(SECRET, &theirs, true);
        scene.inject(&theirs);
        sleep(SECOND).await;
        assert!(old.is_trusted() && new.is_trusted());
        assert_eq!(scene.trusted(), 1);

        scene.upgrade("self/tracebuffer-webhook-tls");
        for _ in 0..60 {
            sleep(SECOND).await;
            assert!(old.is_trusted() && new.is_trusted());
        }
        assert_eq!(scene.trusted(), 2);
        sleep(660 * SECOND).await;
        assert_eq!(scene.trusted(), 1);
        assert!(old.is_trusted() && new.is_trusted());
    }
}
