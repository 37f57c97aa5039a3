//! Destinations behind an HTTP proxy.

use std::time::Duration;

use tracebuffer::adapters::messaging::destination::AnyDestination;
use tracebuffer::adapters::messaging::destination::config::{DestinationSettings, Protocol};
use tracebuffer::domain::delivery::{Failure, FailureKind};
use tracebuffer::ports::destination::Destination;

use crate::support::connect_proxy::{ConnectProxy, ProxyAnswer};
use crate::support::pki::TestAuthority;
use crate::support::scripted_destination::ScriptedDestination;
use crate::support::spans::batch;
use crate::support::tls_harness::{TlsHarness, assert_delivered};

const BOTH: [(Protocol, &str); 2] = [(Protocol::Grpc, "h2"), (Protocol::Http, "http/1.1")];

/// The settings of a destination whose name only the proxy knows.
fn behind(proxy: &str, server: &ScriptedDestination) -> DestinationSettings {
    let mut settings = server.settings();
    "traces.invalid".clone_into(&mut settings.endpoint.host);
    settings.proxy = Some(proxy.parse().unwrap());
    settings
}

async fn failure(answer: ProxyAnswer, credentials: &str) -> Failure {
    let server = ScriptedDestination::start(Protocol::Grpc).await;
    let proxy = ConnectProxy::start(answer).await;
    let url = format!("http://{credentials}{}", proxy.address());
    let mut settings = behind(&url, &server);
    settings.timeout = Duration::from_millis(500);

    let destination = AnyDestination::from_settings(Some(&settings));
    let failure = destination.send(batch(&["a"])).await.unwrap_err();

    assert_eq!((failure.kind, failure.code), (FailureKind::Unavailable, "PROXY"));
    let through =
        format!("traces.invalid:{} through the proxy http://127.", server.address().port());
    assert!(failure.message.contains(&through), "{}", failure.message);
    failure
}

#[tokio::test]
async fn plain_destinations_are_reached_by_connect() {
    for (protocol, _) in BOTH {
        let server = ScriptedDestination::start(protocol).await;
        let proxy = ConnectProxy::start(ProxyAnswer::Connect(server.address())).await;
        let destination = AnyDestination::from_settings(Some(&behind(&proxy.url(), &server)));

        assert_delivered(&destination).await;
        assert_delivered(&destination).await;

        let authority = format!("traces.invalid:{}", server.address().port());
        let [request] = proxy.requests().try_into().unwrap();
        let line = format!("CONNECT {authority} HTTP/1.1\r\n");
        assert!(request.starts_with(&line), "{request}");
        assert!(
            request.to_lowercase().contains(&format!("\r\nhost: {authority}\r\n")),
            "{request}"
        );
        assert!(!request.to_lowercase().contains("proxy-authorization"), "{request}");
        assert_eq!(server.requests()[0].authority, authority);
    }
}

#[tokio::test]
async fn encrypted_destinations_are_reached_by_connect_and_verified() {
    for (protocol, alpn) in BOTH {
        let authority = TestAuthority::new();
        let config = authority.server_config_for("traces.invalid", &[alpn], false);
        let mut harness = TlsHarness::with_config(authority, protocol, config).await;
        let proxy = ConnectProxy::start(ProxyAnswer::Connect(harness.server.address())).await;
        harness.settings.proxy = Some(proxy.url().parse().unwrap());
        harness.settings.endpoint.host = "traces.invalid".to_owned();
        assert_delivered(&harness.destination()).await;

        harness.settings.endpoint.host = "other.invalid".to_owned();
        let failure = harness.destination().send(batch(&["a"])).await.unwrap_err();
        assert_eq!(failure.code, "TLS", "{}", failure.message);
    }
}

#[tokio::test]
async fn the_proxy_itself_may_be_encrypted() {
    for (protocol, alpn) in BOTH {
        let mut harness = TlsHarness::new(protocol, &[alpn], false).await;
        let config = harness.authority.server_config(&[], false);
        let answer = ProxyAnswer::Connect(harness.server.address());
        let proxy = ConnectProxy::start_tls(answer, config).await;
        let url = format!("https://localhost:{}", proxy.address().port());
        harness.settings.proxy = Some(url.parse().unwrap());
        assert_delivered(&harness.destination()).await;

        let url = format!("https://127.0.0.1:{}", proxy.address().port());
        harness.settings.proxy = Some(url.parse().unwrap());
        let failure = harness.destination().send(batch(&["a"])).await.unwrap_err();
        assert_eq!(failure.code, "PROXY");
        assert!(failure.message.contains("certificate"), "{}", failure.message);
    }
}

#[tokio::test]
async fn the_proxy_gets_the_credentials_and_the_destination_does_not() {
    let server = ScriptedDestination::start(Protocol::Http).await;
    let proxy = ConnectProxy::start(ProxyAnswer::Connect(server.address())).await;
    let url = format!("http://user:p%40ss@{}", proxy.address());

    let settings = behind(&url, &server);
    assert_delivered(&AnyDestination::from_settings(Some(&settings))).await;

    let request = proxy.requests().pop().unwrap().to_lowercase();
    assert!(request.contains("\r\nproxy-authorization: basic dxnlcjpwqhnz\r\n"), "{request}");
    assert!(server.requests()[0].headers.get("proxy-authorization").is_none());
    assert!(!format!("{settings:?}").contains("dXNlcjpwQHNz"), "{settings:?}");
}

#[tokio::test]
async fn a_refusal_of_the_proxy_is_shown_with_its_status_and_text() {
    const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 13\r\n\r\nnot by policy";
    const WEB_PAGE: &str = "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\n\
                            content-length: 14\r\n\r\n<html>x</html>";

    let forbidden = failure(ProxyAnswer::Refuse(FORBIDDEN), "").await.message;
    assert!(forbidden.contains("403 Forbidden: \"not by policy\""), "{forbidden}");
    let page = failure(ProxyAnswer::Refuse(WEB_PAGE), "").await.message;
    assert!(page.ends_with("it refused the connection with 502 Bad Gateway"), "{page}");
}

#[tokio::test]
async fn a_demand_for_credentials_is_told_from_their_refusal() {
    const DEMAND: &str = "HTTP/1.1 407 Proxy Authentication Required\r\n\
                          proxy-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n";

    let without = failure(ProxyAnswer::Refuse(DEMAND), "").await.message;
    assert!(without.contains("; set a user and password in the proxy's URL"), "{without}");
    let with = failure(ProxyAnswer::Refuse(DEMAND), "user:hunter2@").await.message;
    assert!(with.contains("; check the user and password in the proxy's URL"), "{with}");
    assert!(!with.contains("hunter2") && !with.contains("user:"), "{with}");
}

#[tokio::test]
async fn a_proxy_that_is_silent_closes_or_speaks_something_else_is_named() {
    for (answer, reason) in [
        (ProxyAnswer::Hang, "no response within 500ms"),
        (ProxyAnswer::Close, "connection closed"),
        (ProxyAnswer::Refuse("220 mail.example ESMTP ready\r\n"), "invalid HTTP"),
    ] {
        let message = failure(answer, "").await.message;

        assert!(message.contains(reason), "{message}");
    }
}

#[tokio::test]
async fn an_unreachable_proxy_is_named_and_not_the_destination() {
    let server = ScriptedDestination::start(Protocol::Grpc).await;
    let settings = behind("http://proxy.invalid:3128", &server);

    let destination = AnyDestination::from_settings(Some(&settings));
    let failure = destination.send(batch(&["a"])).await.unwrap_err();

    assert_eq!(failure.code, "PROXY");
    let named = "through the proxy http://proxy.invalid:3128: ";
    assert!(failure.message.contains(named), "{}", failure.message);
}
