//! Certificates as they occur: self-signed, damaged, expired, and refused ones.

use rcgen::date_time_ymd;
use tracebuffer::adapters::messaging::destination::config::{CaFile, Protocol, ServerName};

use crate::support::pki::{IssuedCertificate, TestAuthority, write};
use crate::support::tls_harness::{
    TlsHarness, assert_delivered, assert_unavailable, only_authority,
};

/// Each protocol with its usual ALPN name.
const BOTH: [(Protocol, &str); 2] = [(Protocol::Grpc, "h2"), (Protocol::Http, "http/1.1")];

/// A client of a server that presents `certificate`, and names `ca` as its CA file.
async fn harness(
    (protocol, alpn): (Protocol, &str),
    certificate: &IssuedCertificate,
    ca: &str,
) -> TlsHarness {
    let config = certificate.server_config(&[alpn]);
    let mut harness = TlsHarness::with_config(TestAuthority::new(), protocol, config).await;
    let path = write(harness.files.path(), "trusted.pem", ca);
    harness.settings.ca_file = Some(only_authority(path));
    harness
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_named_as_the_ca_file_is_accepted() {
    let certificate = IssuedCertificate::self_signed("localhost");
    for protocol in BOTH {
        let mut harness = harness(protocol, &certificate, &certificate.certificate).await;
        assert_delivered(&harness.destination()).await;

        let path = harness.settings.ca_file.unwrap().path;
        harness.settings.ca_file = Some(CaFile { path, with_system_roots: true });
        harness.settings.server_name = Some(ServerName::try_from("localhost").unwrap());
        assert_delivered(&harness.destination()).await;
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_accepted_for_its_own_names_only() {
    let certificate = IssuedCertificate::self_signed("other.example");
    let harness = harness(BOTH[0], &certificate, &certificate.certificate).await;

    let failure = assert_unavailable(&harness.destination()).await;

    assert!(failure.message.contains("not valid for name \"localhost\""), "{}", failure.message);
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_not_in_the_ca_file_is_refused() {
    let certificate = IssuedCertificate::self_signed("localhost");
    let other = IssuedCertificate::self_signed("localhost");
    let harness = harness(BOTH[0], &certificate, &other.certificate).await;

    assert_eq!(assert_unavailable(&harness.destination()).await.code, "TLS");
}

#[tokio::test]
async fn damaged_certificates_in_a_bundle_are_skipped() {
    let authority = TestAuthority::new();
    let damaged = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    let cut = "-----BEGIN CERTIFICATE-----\nMIIB\n";
    let bundle = format!("# ours\r\n{damaged}{cut}{}{damaged}", authority.pem());
    let harness = harness(BOTH[1], &authority.issue("localhost"), &bundle).await;

    assert_delivered(&harness.destination()).await;
}

#[tokio::test]
async fn a_client_certificate_that_is_not_valid_now_is_named_with_its_date() {
    for protocol in BOTH {
        let mut harness = TlsHarness::new(protocol.0, &[protocol.1], true).await;
        let expired = harness.authority.issue_with("client", |params| {
            params.not_after = date_time_ymd(2020, 2, 3);
        });
        let future = harness.authority.issue_with("client", |params| {
            params.not_before = date_time_ymd(3000, 2, 3);
        });
        for (certificate, problem) in [
            (expired, "tls.crt expired at 2020-02-03T00:00:00Z"),
            (future, "tls.crt is not valid before 3000-02-03T00:00:00Z"),
        ] {
            harness.set_client_certificate(&certificate);

            let failure = assert_unavailable(&harness.destination()).await;

            assert_eq!(failure.code, "TLS", "{}", failure.message);
            assert!(failure.message.contains(problem), "{}", failure.message);
        }
    }
}

#[tokio::test]
async fn a_refused_client_certificate_is_told_from_a_missing_one() {
    for protocol in BOTH {
        let mut harness = TlsHarness::new(protocol.0, &[protocol.1], true).await;
        let failure = assert_unavailable(&harness.destination()).await;
        assert_eq!(failure.code, "TLS", "{}", failure.message);
        let missing = "requires a client certificate";
        assert!(failure.message.contains(missing), "{}", failure.message);

        harness.set_client_certificate(&TestAuthority::new().issue("stranger"));
        let failure = assert_unavailable(&harness.destination()).await;
        assert_eq!(failure.code, "TLS", "{}", failure.message);
        let refused = "did not accept the client certificate";
        assert!(failure.message.contains(refused), "{}", failure.message);
    }
}

#[tokio::test]
async fn each_fault_of_a_server_certificate_has_its_own_remedy() {
    let authority = TestAuthority::new();
    let expired = authority.issue_with("localhost", |params| {
        params.not_after = date_time_ymd(2020, 2, 3);
    });
    let future = authority.issue_with("localhost", |params| {
        params.not_before = date_time_ymd(3000, 2, 3);
    });
    let unnamed = authority.issue_with("localhost", |params| params.subject_alt_names.clear());
    for (certificate, remedy) in [
        (expired, "renew the server's certificate"),
        (future, "correct the clock"),
        (unnamed, "no subjectAltName"),
    ] {
        let harness = harness(BOTH[0], &certificate, &authority.pem()).await;

        let failure = assert_unavailable(&harness.destination()).await;

        assert_eq!(failure.code, "TLS");
        assert!(failure.message.contains(remedy), "{}", failure.message);
        assert!(!failure.message.contains("CA file"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_server_without_a_certificate_for_the_name_is_recognised() {
    let authority = TestAuthority::new();
    let config = authority.server_config_requiring_sni("traces.example", &["h2"]);
    let harness = TlsHarness::with_config(authority, Protocol::Grpc, config).await;

    let failure = assert_unavailable(&harness.destination()).await;

    assert_eq!(failure.code, "TLS");
    assert!(failure.message.contains("or the TLS server name"), "{}", failure.message);
}
