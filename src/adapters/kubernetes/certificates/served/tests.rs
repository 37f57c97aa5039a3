//! Real handshakes in memory, with a client that trusts only a published bundle.

use std::time::SystemTime;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::super::RcgenIssuer;
use super::*;
use crate::adapters::clock::TokioClock;
use crate::application::operator::rotate_certificates::CertificateRotator;
use crate::application::operator::rotate_certificates::fakes::{
    FakeCluster, RecordedValue, RecordingMonitor,
};
use crate::domain::operator::rotation::{PROPAGATION_DELAY, Validity};
use crate::ports::clock::WallClock;
use crate::ports::operator::certificates::{CertificateIssuer, WebhookTls};

const HOST: &str = "tracebuffer-webhook.observability.svc";
const SECOND: Duration = Duration::from_secs(1);

/// The real time of the start plus the elapsed test time, since rustls uses the real time.
struct TestWallClock(Instant, Duration);

impl TestWallClock {
    fn new() -> Self {
        Self(Instant::now(), SystemTime::UNIX_EPOCH.elapsed().unwrap())
    }
}

impl WallClock for TestWallClock {
    fn now(&self) -> Duration {
        self.1 + self.0.elapsed()
    }
}

fn new_tls() -> WebhookTls {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let (issuer, validity) = (RcgenIssuer::new(HOST), Validity::of_authority(now));
    let tls = issuer.add_authority(&WebhookTls::default(), validity).unwrap();
    issuer.issue_leaf(&tls, Validity::of_leaf(now, validity)).unwrap()
}

fn server(served: &Arc<ServedCertificate>) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_cert_resolver(Arc::clone(served) as Arc<dyn ResolvesServerCert>))
}

fn handshake(server: &Arc<ServerConfig>, bundle: &[u8]) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(x509::authorities(bundle));
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from(HOST).unwrap())?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut sent = vec![];
        client.write_tls(&mut sent).unwrap();
        server.read_tls(&mut &sent[..]).unwrap();
        server.process_new_packets()?;
        let mut sent = vec![];
        server.write_tls(&mut sent).unwrap();
        client.read_tls(&mut &sent[..]).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn only_a_client_that_trusts_the_bundle_accepts_the_served_certificate() {
    let (tls, other) = (new_tls(), new_tls());
    let served = Arc::new(ServedCertificate::default());
    let config = server(&served);
    assert!(handshake(&config, &tls.bundle).is_err(), "nothing is served yet");

    assert_eq!(served.offer(&tls.leaf, &tls.leaf_key), Ok(OfferOutcome::Served));

    assert_eq!(handshake(&config, &tls.bundle), Ok(()));
    assert!(handshake(&config, &other.bundle).is_err());
    assert_eq!(served.offer(&tls.leaf, &tls.leaf_key), Ok(OfferOutcome::Unchanged));
}

#[test]
fn a_certificate_is_trusted_once_every_webhook_entry_has_its_authority() {
    let (tls, other) = (new_tls(), new_tls());
    let both = [&other.bundle[..], &tls.bundle].concat();
    let served = ServedCertificate::default();
    served.set_published([&tls.bundle]);
    assert!(!served.is_trusted(), "nothing is served yet");
    served.offer(&tls.leaf, &tls.leaf_key).unwrap();
    assert!(served.is_trusted());

    for (bundles, trusted) in [
        (vec![], false),
        (vec![&b""[..]], false),
        (vec![&both[..], &tls.bundle], true),
        (vec![&tls.bundle, &other.bundle], false),
    ] {
        served.set_published(&bundles);
        assert_eq!(served.is_trusted(), trusted, "{}", bundles.len());
    }
    served.set_published([&[][..]]);
    served.offer(&other.leaf, &other.leaf_key).unwrap();
    served.set_published([&tls.bundle]);
    assert!(!served.is_trusted(), "the authority of the new one is not published");
}

/// `old` is served and trusted; `new` is offered.
fn renewing() -> (Arc<ServedCertificate>, WebhookTls, WebhookTls) {
    let (old, new) = (new_tls(), new_tls());
    let served = Arc::new(ServedCertificate::default());
    served.set_published([&old.bundle]);
    served.offer(&old.leaf, &old.leaf_key).unwrap();
    assert_eq!(served.offer(&new.leaf, &new.leaf_key), Ok(OfferOutcome::Pending));
    (served, old, new)
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_is_served_ten_seconds_after_it_is_trusted() {
    let (served, old, new) = renewing();
    let config = server(&served);
    sleep(Duration::from_hours(1)).await;
    assert!(!served.serve_if_due());
    assert_eq!(handshake(&config, &old.bundle), Ok(()), "the new one is not trusted yet");

    assert!(!served.set_published([[&new.bundle[..], &old.bundle].concat()]));
    sleep(9 * SECOND).await;
    assert_eq!(served.offer(&new.leaf, &new.leaf_key), Ok(OfferOutcome::Unchanged), "it waits");
    assert!(!served.serve_if_due());
    assert_eq!(handshake(&config, &old.bundle), Ok(()));
    sleep(SECOND).await;
    assert!(served.serve_if_due());

    assert_eq!(handshake(&config, &new.bundle), Ok(()));
    assert!(served.is_trusted() && !served.serve_if_due());
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_is_served_at_once_when_the_old_one_is_no_longer_trusted() {
    let (served, _, new) = renewing();

    assert!(served.set_published([&new.bundle]));

    assert_eq!(handshake(&server(&served), &new.bundle), Ok(()));
    assert!(served.is_trusted());
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_certificate_is_not_served() {
    let (served, old, new) = renewing();

    assert_eq!(served.offer(&old.leaf, &old.leaf_key), Ok(OfferOutcome::Unchanged));

    assert!(!served.set_published([[&new.bundle[..], &old.bundle].concat()]));
    sleep(TRUST_DELAY).await;
    assert!(!served.serve_if_due());
    assert_eq!(handshake(&server(&served), &old.bundle), Ok(()));
}

#[test]
fn an_unusable_certificate_is_refused_by_file_name_and_the_old_one_stays() {
    let (tls, other) = (new_tls(), new_tls());
    let served = Arc::new(ServedCertificate::default());
    served.offer(&tls.leaf, &tls.leaf_key).unwrap();
    for (chain, key, why) in [
        (&b""[..], &tls.leaf_key[..], "tls.crt holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\n", &tls.leaf_key, "tls.crt is not valid PEM"),
        (&tls.leaf, b"hunter2", "tls.key holds no private key as PEM"),
        (&tls.leaf, &other.leaf_key, "tls.crt and tls.key cannot be used: keys may not be"),
    ] {
        let error = served.offer(chain, key).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    }

    assert_eq!(handshake(&server(&served), &tls.bundle), Ok(()));
}

#[test]
fn the_expiry_of_the_served_leaf_is_reported() {
    let (served, tls) = (ServedCertificate::default(), new_tls());
    assert_eq!(served.valid_until(), None);
    served.offer(&tls.leaf, &tls.leaf_key).unwrap();

    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let left = served.valid_until().unwrap().saturating_sub(now);

    assert_eq!(left.as_secs().div_ceil(86_400), 30);
}

/// Returns the bundle of an API server that read the configuration `age` ago.
#[test]
fn whatever_makes_api_servers_refuse_the_certificate_is_named() {
    let served = ServedCertificate::default();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let problem = |now| served.problem(Some(HOST), now);
    assert_eq!(problem(now).unwrap(), "no certificate is served");

    let tls = new_tls();
    served.offer(&tls.leaf, &tls.leaf_key).unwrap();
    assert!(problem(now).unwrap().starts_with("the caBundle lacks the authority"));

    served.set_published([&tls.bundle]);
    assert_eq!(problem(now), None);
    assert_eq!(
        problem(now + Duration::from_hours(24 * 3650)).unwrap(),
        "the served certificate has expired"
    );
    assert_eq!(served.problem(None, now), None);
    let elsewhere = served.problem(Some("other.observability.svc"), now).unwrap();
    assert_eq!(elsewhere, "the served certificate is not for other.observability.svc");
}

fn bundle_seen_by_api_server(cluster: &FakeCluster, start: Instant, age: Duration) -> Vec<u8> {
    let then = start.elapsed().saturating_sub(age);
    let writes = cluster.writes();
    let published = writes.iter().filter_map(|write| match &write.value {
        RecordedValue::Published(bundles, _) => Some((write.at, bundles[0].clone())),
        RecordedValue::Tls(_) => None,
    });
    // The first bundle is published before the first call.
    published.enumerate().filter(|(n, (at, _))| *n == 0 || *at <= then).last().unwrap().1.1
}

#[tokio::test(start_paused = true)]
async fn a_thousand_handshakes_with_bundles_up_to_a_minute_old_succeed_during_rotations() {
    let (start, cluster) = (Instant::now(), FakeCluster::new());
    let leading = watch::Sender::new(true);
    let clocks = (TokioClock::new(), TestWallClock::new());
    let monitor = Arc::<RecordingMonitor>::default();
    let store = Arc::clone(&cluster);
    let issuer = RcgenIssuer::new(HOST);
    let rotator = CertificateRotator::new(issuer, store, monitor, clocks, || true, || 7);
    let (leads, changes) = (leading.subscribe(), cluster.changes());
    let rotator = tokio::spawn(async move { rotator.run(leads, changes).await });
    sleep(SECOND).await;
    let served = Arc::new(ServedCertificate::default());
    let config = server(&served);
    let mut leaves = std::collections::BTreeSet::new();

    for call in 0..1_000_u32 {
        if call % 250 == 50 {
            cluster.tamper(|tls| {
                tls.as_mut().unwrap().rotation_requested = Some(call.to_string());
            });
        }
        let held = cluster.stored_tls().unwrap();
        served.offer(&held.leaf, &held.leaf_key).unwrap();
        leaves.insert(held.leaf);
        let age = PROPAGATION_DELAY.saturating_sub(SECOND) * (call % 7) / 6;

        assert_eq!(
            handshake(&config, &bundle_seen_by_api_server(&cluster, start, age)),
            Ok(()),
            "call {call}"
        );

        sleep(Duration::from_millis(4_100)).await;
    }
    assert_eq!(leaves.len(), 5, "the first and one for each rotation");
    rotator.abort();
}
