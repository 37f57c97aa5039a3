//! Destinations with TLS, and their certificate files.

use std::time::Duration;

use crate::support::pki::{IssuedCertificate, TestAuthority, write};
use crate::support::scripted_destination::{ScriptedDestination, ScriptedResponse};
use crate::support::tls_harness::{
    TlsHarness, assert_delivered, assert_unavailable, only_authority,
};
use http::Version;
use tracebuffer::adapters::messaging::destination::AnyDestination;
use tracebuffer::adapters::messaging::destination::config::{CaFile, Protocol, ServerName};

/// Each protocol with its usual ALPN name.
const BOTH: [(Protocol, &str); 2] = [(Protocol::Grpc, "h2"), (Protocol::Http, "http/1.1")];

#[tokio::test]
async fn grpc_uses_http2_whether_or_not_the_server_supports_alpn() {
    for protocols in [&["h2"][..], &[]] {
        let harness = TlsHarness::new(Protocol::Grpc, protocols, false).await;

        assert_delivered(&harness.destination()).await;

        assert_eq!(harness.server.requests()[0].version, Version::HTTP_2);
    }
}

#[tokio::test]
async fn http_uses_the_version_that_the_server_prefers() {
    let cases = [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ];
    for (protocols, version) in cases {
        let harness = TlsHarness::new(Protocol::Http, protocols, false).await;
        let destination = harness.destination();

        assert_delivered(&destination).await;
        assert_delivered(&destination).await;

        assert_eq!(harness.server.requests()[0].version, version, "{protocols:?}");
        assert_eq!(harness.server.connections(), 1, "{protocols:?}");
    }
}

#[tokio::test]
async fn grpc_suggests_a_wrong_port_when_the_server_has_no_http2() {
    let harness = TlsHarness::new(Protocol::Grpc, &["http/1.1"], false).await;

    let failure = assert_unavailable(&harness.destination()).await;

    assert_eq!(failure.code, "TLS");
    assert!(failure.message.contains("OTLP/gRPC port?"), "{}", failure.message);
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_not_trusted() {
    let mut harness = TlsHarness::new(Protocol::Grpc, &["h2"], false).await;
    let other = write(harness.files.path(), "other.pem", &TestAuthority::new().pem());
    let beside = CaFile { path: other.clone(), with_system_roots: true };
    let absent = "if a private authority issued its certificate";
    let other_one = "is not in the CA file";
    for (ca_file, reason) in
        [(Some(only_authority(other)), other_one), (Some(beside), other_one), (None, absent)]
    {
        harness.settings.ca_file = ca_file;

        let failure = assert_unavailable(&harness.destination()).await;

        assert_eq!(failure.code, "TLS");
        for part in [reason, "set the CA file of that authority"] {
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }
    assert!(harness.server.requests().is_empty());
}

#[tokio::test]
async fn a_server_of_another_name_is_not_trusted() {
    let mut harness = TlsHarness::new(Protocol::Grpc, &["h2"], false).await;
    harness.settings.endpoint.host = "127.0.0.1".to_owned();

    let failure = assert_unavailable(&harness.destination()).await;

    assert_eq!(failure.code, "TLS");
    let named = "certificate not valid for name \"127.0.0.1\"";
    assert!(failure.message.contains(named), "{}", failure.message);
}

#[tokio::test]
async fn a_private_authority_is_trusted_in_addition_to_the_public_ones() {
    for (protocol, alpn) in BOTH {
        let mut harness = TlsHarness::new(protocol, &[alpn], false).await;
        harness.settings.ca_file = harness
            .settings
            .ca_file
            .map(|CaFile { path, .. }| CaFile { path, with_system_roots: true });

        assert_delivered(&harness.destination()).await;
    }
}

#[tokio::test]
async fn the_configured_server_name_is_sent_as_sni_and_not_as_the_http_host() {
    for (protocol, alpn) in BOTH {
        let authority = TestAuthority::new();
        let config = authority.server_config_requiring_sni("traces.example", &[alpn]);
        let mut harness = TlsHarness::with_config(authority, protocol, config).await;
        assert_eq!(assert_unavailable(&harness.destination()).await.code, "TLS");

        harness.settings.server_name = Some(ServerName::try_from("traces.example").unwrap());

        assert_delivered(&harness.destination()).await;
        // Only TLS uses the name; the HTTP request names the host.
        let host = format!("localhost:{}", harness.server.address().port());
        assert_eq!(harness.last_authority(), host);
    }
}

#[tokio::test]
async fn the_configured_server_name_may_be_an_ip_address() {
    for address in ["192.0.2.7", "2001:db8::7"] {
        for (protocol, alpn) in BOTH {
            let authority = TestAuthority::new();
            let config = authority.server_config_for(address, &[alpn], false);
            let mut harness = TlsHarness::with_config(authority, protocol, config).await;
            harness.settings.server_name = Some(ServerName::try_from(address).unwrap());

            assert_delivered(&harness.destination()).await;
        }
    }
}

#[tokio::test]
async fn a_wrong_server_name_is_reported_with_the_names_in_the_certificate() {
    for name in ["other.example", "192.0.2.7"] {
        for (protocol, alpn) in BOTH {
            let mut harness = TlsHarness::new(protocol, &[alpn], false).await;
            harness.settings.server_name = Some(ServerName::try_from(name).unwrap());

            let failure = assert_unavailable(&harness.destination()).await;

            assert_eq!(failure.code, "TLS");
            let expected =
                [&format!("not valid for name {name:?}"), "localhost", "TLS server name"];
            for part in expected {
                assert!(failure.message.contains(part), "{}", failure.message);
            }
            assert!(!failure.message.contains("CA file"), "{}", failure.message);
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_at_an_https_endpoint_is_recognised() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let server = ScriptedDestination::start(protocol).await;
        let mut settings = server.settings();
        settings.endpoint.tls = true;

        let failure = assert_unavailable(&AnyDestination::from_settings(Some(&settings))).await;

        assert_eq!(failure.code, "TLS", "{}", failure.message);
        assert!(failure.message.contains("http://"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_server_with_tls_at_an_http_endpoint_is_recognised() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let mut harness = TlsHarness::new(protocol, &["h2", "http/1.1"], false).await;
        harness.settings.endpoint.tls = false;

        let failure = assert_unavailable(&harness.destination()).await;

        assert_eq!(failure.code, "ANSWER", "{}", failure.message);
        assert!(failure.message.contains("https://"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_server_that_requires_a_client_certificate_accepts_a_valid_one() {
    let mut harness = TlsHarness::new(Protocol::Grpc, &["h2"], true).await;
    let client = harness.authority.issue("client");
    harness.set_client_certificate(&client);

    assert_delivered(&harness.destination()).await;
}

#[tokio::test]
async fn a_server_that_requires_a_client_certificate_refuses_a_client_without_one() {
    for (protocol, alpn) in BOTH {
        let harness = TlsHarness::new(protocol, &[alpn], true).await;

        let failure = assert_unavailable(&harness.destination()).await;

        assert_eq!(failure.code, "TLS", "{}", failure.message);
        assert!(failure.message.contains("CertificateRequired"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_missing_ca_file_is_named_and_picked_up_when_it_appears() {
    let mut harness = TlsHarness::new(Protocol::Grpc, &["h2"], false).await;
    let late = harness.files.path().join("late.pem");
    harness.settings.ca_file = Some(only_authority(late.clone()));
    let destination = harness.destination();

    let failure = assert_unavailable(&destination).await;
    assert_eq!(failure.code, "FILE");
    let named = format!("the CA file {}: No such file", late.display());
    assert!(failure.message.contains(&named), "{}", failure.message);
    assert_eq!(harness.server.connections(), 0);

    write(harness.files.path(), "late.pem", &harness.authority.pem());
    assert_delivered(&destination).await;
}

#[tokio::test]
async fn a_rotated_client_certificate_is_used_on_a_new_connection() {
    let mut harness = TlsHarness::new(Protocol::Grpc, &["h2"], true).await;
    let first = harness.authority.issue("first");
    harness.set_client_certificate(&first);
    let destination = harness.destination();
    assert_delivered(&destination).await;
    assert_delivered(&destination).await;
    assert_eq!(harness.server.connections(), 1);

    let second = harness.authority.issue("second");
    harness.set_client_certificate(&second);
    assert_delivered(&destination).await;
    assert_delivered(&destination).await;

    assert_eq!(harness.server.connections(), 2);
}

#[tokio::test]
async fn a_rotated_ca_file_applies_at_once() {
    for (protocol, alpn) in BOTH {
        let harness = TlsHarness::new(protocol, &[alpn], false).await;
        let destination = harness.destination();
        assert_delivered(&destination).await;

        write(harness.files.path(), "ca.pem", &TestAuthority::new().pem());

        assert_eq!(assert_unavailable(&destination).await.code, "TLS");
    }
}

#[tokio::test]
async fn a_connection_from_before_a_rotation_is_not_used_again() {
    let mut harness = TlsHarness::new(Protocol::Http, &["http/1.1"], true).await;
    let first = harness.authority.issue("first");
    harness.set_client_certificate(&first);
    let destination = harness.destination();
    let slow =
        ScriptedResponse::Delay(Duration::from_millis(100), Box::new(ScriptedResponse::Accept));
    harness.server.script([slow]);

    let before = assert_delivered(&destination);
    let after = async {
        harness.server.wait_for_requests(1).await;
        let second = harness.authority.issue("second");
        write(harness.files.path(), "tls.crt", &second.certificate);
        write(harness.files.path(), "tls.key", &second.key);
        assert_delivered(&destination).await;
    };
    tokio::join!(before, after);
    assert_delivered(&destination).await;

    let over: Vec<usize> =
        harness.server.requests().iter().map(|request| request.connection).collect();
    assert_eq!(over, [0, 1, 1]);
}

#[tokio::test]
async fn broken_files_are_described_and_never_quoted() {
    const SECRET: &str = "hunter2";
    let authority = TestAuthority::new();
    let IssuedCertificate { certificate, key } = authority.issue("client");
    let other_key = authority.issue("other").key;
    let garbage = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}!\n-----END PRIVATE KEY-----\n");
    let cases = [
        (SECRET, key.as_str(), "tls.crt: it holds no PEM certificate"),
        (&certificate, SECRET, "tls.key: it holds no PEM private key"),
        (&certificate, &garbage, "tls.key: a PEM section is not valid base64"),
        (&certificate, &other_key, "tls.key: keys may not be consistent"),
    ];
    for (certificate, key, reason) in cases {
        let mut harness = TlsHarness::new(Protocol::Grpc, &["h2"], false).await;
        harness.set_client_certificate(&IssuedCertificate {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        });

        let failure = assert_unavailable(&harness.destination()).await;

        assert_eq!(failure.code, "FILE");
        assert!(failure.message.contains(reason), "{}", failure.message);
        assert!(!failure.message.contains(SECRET), "{}", failure.message);
    }
}
