//! Connections that are replaced, and connections whose peer is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracebuffer::adapters::messaging::destination::AnyDestination;
use tracebuffer::adapters::messaging::destination::config::Protocol;
use tracebuffer::domain::delivery::FailureKind;
use tracebuffer::ports::destination::Destination;

use crate::support::connect_proxy::{ConnectProxy, ProxyAnswer};
use crate::support::scripted_destination::{ScriptedDestination, ScriptedResponse};
use crate::support::spans::batch;
use crate::support::tls_harness::assert_delivered;

const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];
/// Longer than a connection of `MAX_AGE` may live.
const OLD: Duration = Duration::from_millis(150);
const MAX_AGE: Duration = Duration::from_millis(100);

fn destination(server: &ScriptedDestination) -> AnyDestination {
    let mut settings = server.settings();
    settings.connection_max_age = Some(MAX_AGE);
    AnyDestination::from_settings(Some(&settings))
}

#[tokio::test]
async fn an_old_connection_is_replaced_before_the_next_request_and_not_while_idle() {
    for protocol in PROTOCOLS {
        let server = ScriptedDestination::start(protocol).await;
        let destination = destination(&server);
        assert_delivered(&destination).await;
        assert_delivered(&destination).await;
        assert_eq!(server.connections(), 1, "{protocol:?}");

        sleep(OLD).await;
        assert_eq!(server.connections(), 1, "{protocol:?}");
        assert_delivered(&destination).await;
        assert_delivered(&destination).await;

        assert_eq!(server.connections(), 2, "{protocol:?}");
        let over: Vec<_> = server.requests().iter().map(|request| request.connection).collect();
        assert_eq!(over, [0, 0, 1, 1], "{protocol:?}");
    }
}

#[tokio::test]
async fn a_connection_without_a_maximum_age_is_kept() {
    for protocol in PROTOCOLS {
        let server = ScriptedDestination::start(protocol).await;
        let mut settings = server.settings();
        settings.connection_max_age = None;
        let destination = AnyDestination::from_settings(Some(&settings));

        assert_delivered(&destination).await;
        sleep(OLD).await;
        assert_delivered(&destination).await;

        assert_eq!(server.connections(), 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn an_old_connection_is_kept_while_no_new_one_can_be_opened() {
    let refusals =
        [ProxyAnswer::Refuse("HTTP/1.1 503 Busy\r\n\r\n"), ProxyAnswer::Close, ProxyAnswer::Hang];
    for (protocol, refusal) in PROTOCOLS.into_iter().flat_map(|p| refusals.map(|r| (p, r))) {
        let server = ScriptedDestination::start(protocol).await;
        let forward = ProxyAnswer::Connect(server.address());
        let proxy = ConnectProxy::start(forward).await;
        let mut settings = server.settings();
        settings.connection_max_age = Some(MAX_AGE);
        settings.proxy = Some(proxy.url().parse().unwrap());
        settings.timeout = Duration::from_secs(1);
        let destination = AnyDestination::from_settings(Some(&settings));
        assert_delivered(&destination).await;
        sleep(OLD).await;

        proxy.set_answer(refusal);
        assert_delivered(&destination).await;
        assert_delivered(&destination).await;
        assert_eq!(server.connections(), 1, "{protocol:?} {refusal:?}");
        // The second request did not try again.
        assert_eq!(proxy.requests().len(), 2, "{protocol:?} {refusal:?}");

        proxy.set_answer(forward);
        sleep(OLD).await;
        assert_delivered(&destination).await;
        assert_eq!(server.connections(), 2, "{protocol:?} {refusal:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_open_when_its_connection_is_replaced_is_completed() {
    for protocol in PROTOCOLS {
        let server = ScriptedDestination::start(protocol).await;
        let destination = Arc::new(destination(&server));
        assert_delivered(&destination).await;
        server.script([ScriptedResponse::Delay(4 * OLD, Box::new(ScriptedResponse::Accept))]);

        let slow = tokio::spawn({
            let destination = Arc::clone(&destination);
            async move { destination.send(batch(&["slow"])).await }
        });
        server.wait_for_requests(2).await;
        sleep(OLD).await;
        let many = (0..4).map(|_| {
            let destination = Arc::clone(&destination);
            tokio::spawn(async move { assert_delivered(&destination).await })
        });
        for sent in many.collect::<Vec<_>>() {
            sent.await.unwrap();
        }

        assert!(slow.await.unwrap().is_ok(), "{protocol:?}");
        assert!(server.connections() >= 2, "{protocol:?}");
        assert_eq!(server.requests().len(), 6, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_batch_reaches_the_destination_in_time_although_its_connection_is_dead() {
    let server = ScriptedDestination::start(Protocol::Grpc).await;
    let proxy = ConnectProxy::start(ProxyAnswer::Connect(server.address())).await;
    let mut settings = server.settings();
    settings.proxy = Some(proxy.url().parse().unwrap());
    settings.timeout = Duration::from_secs(2);
    let destination = AnyDestination::from_settings(Some(&settings));
    assert_delivered(&destination).await;
    sleep(Duration::from_millis(1_100)).await;

    proxy.freeze();
    let before = Instant::now();
    assert_delivered(&destination).await;

    // The idle connection is pinged at once, and given up after a quarter of the timeout.
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_dead_http1_connection_costs_at_most_one_timeout() {
    let server = ScriptedDestination::start(Protocol::Http).await;
    let proxy = ConnectProxy::start(ProxyAnswer::Connect(server.address())).await;
    let mut settings = server.settings();
    settings.proxy = Some(proxy.url().parse().unwrap());
    settings.timeout = Duration::from_millis(500);
    let destination = AnyDestination::from_settings(Some(&settings));
    assert_delivered(&destination).await;

    proxy.freeze();
    let failure = destination.send(batch(&["a"])).await.unwrap_err();

    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert_delivered(&destination).await;
}
