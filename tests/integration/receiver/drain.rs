//! Shutdown: acknowledged spans are delivered, or their loss is logged, within the drain timeout.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use parking_lot::Mutex;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use tracebuffer::adapters::messaging::destination::config::Protocol;

use crate::support::client::{PROTOBUF_CONTENT_TYPE, TRACES_PATH, post, with_header};
use crate::support::pipeline::{Pipeline, over_both_protocols, span_names, within_timeout};
use crate::support::samples::{request, span, spans};
use crate::support::scripted_destination::ScriptedResponse;

/// An application that sends until the receiver no longer accepts.
struct Application {
    acknowledged: Arc<Mutex<Vec<String>>>,
    sending: JoinHandle<()>,
}

impl Application {
    fn start(pipeline: &Pipeline, protocol: Protocol) -> Self {
        let acknowledged = Arc::default();
        let sending = match protocol {
            Protocol::Grpc => {
                tokio::spawn(send_grpc(pipeline.endpoint().address, Arc::clone(&acknowledged)))
            }
            Protocol::Http => {
                tokio::spawn(send_http(pipeline.endpoint().address, Arc::clone(&acknowledged)))
            }
        };
        Self { acknowledged, sending }
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().len()
    }

    async fn acknowledges(&self, spans: usize) {
        within_timeout("sending", async {
            while self.acknowledged() < spans {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

async fn send_grpc(address: std::net::SocketAddr, acknowledged: Arc<Mutex<Vec<String>>>) {
    let mut client =
        TraceServiceClient::connect(format!("http://{address}")).await.expect("it listens");
    for number in 0.. {
        let name = format!("still {number}");
        if client.export(request(vec![span(&name)])).await.is_err() {
            return;
        }
        acknowledged.lock().push(name);
    }
}

async fn send_http(address: std::net::SocketAddr, acknowledged: Arc<Mutex<Vec<String>>>) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(io).await.expect("it speaks HTTP");
    tokio::spawn(connection);
    for number in 0.. {
        let name = format!("still {number}");
        let request = with_header(
            post(TRACES_PATH, PROTOBUF_CONTENT_TYPE, spans(&[&name])),
            "host",
            "localhost",
        );
        if sender.ready().await.is_err() {
            return;
        }
        let Ok(answer) = sender.send_request(request).await else { return };
        if answer.status() != 200 || answer.into_body().collect().await.is_err() {
            return;
        }
        acknowledged.lock().push(name);
    }
}

#[tokio::test]
async fn spans_that_still_linger_are_delivered_before_exit() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[("LINGER", "1m")]).await;
        pipeline.send(10, 3).await;
        assert!(pipeline.destination.received_names().is_empty());

        pipeline.receiver.terminate();
        let Pipeline { destination, receiver, .. } = pipeline;
        let ended = receiver.wait_for_exit().await;

        assert_eq!(ended.code, Some(0), "{}", ended.log);
        assert_eq!(destination.received_names(), span_names(0..30));
        assert!(ended.log.contains("nothing was lost"), "{}", ended.log);
    })
    .await;
}

#[tokio::test]
async fn spans_are_delivered_when_the_destination_returns_within_the_drain_timeout() {
    over_both_protocols(async |protocol| {
        let mut pipeline = Pipeline::start_in_outage(protocol, &[]).await;
        pipeline.send(10, 3).await;
        pipeline.wait_until_failing(1).await;

        pipeline.receiver.terminate();
        within_timeout("the drain", async {
            while !pipeline.receiver.log().contains("delivering what is buffered") {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        pipeline.destination.restart().await;
        let Pipeline { destination, receiver, .. } = pipeline;
        let ended = receiver.wait_for_exit().await;

        assert_eq!(ended.code, Some(0), "{}", ended.log);
        assert_eq!(destination.received_names(), span_names(0..30));
    })
    .await;
}

#[tokio::test]
async fn an_application_that_keeps_sending_loses_no_acknowledged_span() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[("DRAIN_TIMEOUT", "2s")]).await;
        let application = Application::start(&pipeline, protocol);
        application.acknowledges(10).await;

        pipeline.receiver.terminate();
        within_timeout("stopping", async {
            while !pipeline.receiver.log().contains("still accepting") {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        let before = application.acknowledged();
        application.acknowledges(before + 10).await;
        let Pipeline { destination, receiver, .. } = pipeline;
        let ended = receiver.wait_for_exit().await;

        within_timeout("the application", application.sending).await.expect("it does not panic");
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        assert!(ended.log.contains("nothing was lost"), "{}", ended.log);
        let mut received = destination.received_names();
        let acknowledged = application.acknowledged.lock();
        // The response to the last request may have been lost.
        assert!(received.len() <= acknowledged.len() + 1);
        received.truncate(acknowledged.len());
        assert_eq!(received, *acknowledged);
    })
    .await;
}

#[tokio::test]
async fn an_unreachable_destination_does_not_delay_exit_and_the_loss_is_logged() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start_in_outage(protocol, &[("DRAIN_TIMEOUT", "1s")]).await;

        assert_lost_in_time(pipeline).await;
    })
    .await;
}

#[tokio::test]
async fn a_destination_that_never_responds_does_not_delay_exit_and_the_loss_is_logged() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[("DRAIN_TIMEOUT", "1s")]).await;
        pipeline.destination.set_default_response(ScriptedResponse::NeverRespond);

        assert_lost_in_time(pipeline).await;
    })
    .await;
}

async fn assert_lost_in_time(pipeline: Pipeline) {
    pipeline.send(10, 3).await;
    let Pipeline { receiver, destination, .. } = pipeline;

    let started = Instant::now();
    receiver.terminate();
    let ended = receiver.wait_for_exit().await;

    assert!(started.elapsed() < Duration::from_secs(2), "{:?}: {}", started.elapsed(), ended.log);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(destination.received_names().is_empty());
    let loss = ended.log.lines().find(|line| line.contains("ERROR spans are lost"));
    assert!(loss.is_some_and(|line| line.contains("spans=30")), "{}", ended.log);
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once_and_the_loss_is_logged() {
    for second in [Signal::TERM, Signal::INT] {
        let settings = [("DRAIN_TIMEOUT", "1m")];
        let pipeline = Pipeline::start_in_outage(Protocol::Grpc, &settings).await;
        pipeline.send(10, 3).await;
        pipeline.receiver.terminate();
        within_timeout("the drain", async {
            while !pipeline.receiver.log().contains("delivering what is buffered") {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;

        let started = Instant::now();
        pipeline.receiver.signal(second);
        let ended = pipeline.receiver.wait_for_exit().await;

        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        let loss = ended.log.lines().find(|line| line.contains("ERROR second stop signal"));
        assert!(loss.is_some_and(|line| line.contains("; 30 spans were lost")), "{}", ended.log);
    }
}

#[tokio::test]
async fn while_applications_shut_down_it_is_live_but_not_ready_and_accepts_their_spans() {
    let pipeline = Pipeline::start(Protocol::Grpc, &[("DRAIN_TIMEOUT", "1m")]).await;
    let mut connection = pipeline.endpoint().connect().await;
    let request = || pipeline.endpoint().request(pipeline.next_request(1, 0));
    assert!(connection.send(request()).await.success_message().partial_success.is_none());
    assert_eq!(pipeline.receiver.get_admin("/ready").await.0, 200);

    pipeline.receiver.terminate();
    within_timeout("/ready", async {
        while pipeline.receiver.get_admin("/ready").await.0 != 503 {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;

    assert_eq!(pipeline.receiver.get_admin("/live").await.0, 200);
    // The open connection and new ones are still served.
    assert!(connection.send(request()).await.success_message().partial_success.is_none());
    pipeline.send(1, 1).await;
    drop(connection);
    let Pipeline { destination, receiver, .. } = pipeline;
    let ended = receiver.wait_for_exit().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(destination.received_names(), span_names(0..3));
}

#[tokio::test]
async fn open_connections_are_closed_gracefully_while_spans_are_still_buffered() {
    over_both_protocols(async |protocol| {
        let settings = [("DRAIN_TIMEOUT", "2s")];
        let pipeline = Pipeline::start_in_outage(protocol, &settings).await;
        let mut connection = pipeline.endpoint().connect().await;
        let request = pipeline.endpoint().request(pipeline.next_request(1, 0));
        assert!(connection.send(request).await.success_message().partial_success.is_none());

        pipeline.receiver.terminate();
        connection.closed().await;

        // The connection was closed before the end of the process.
        assert_eq!(pipeline.receiver.get_admin("/live").await.0, 200);
    })
    .await;
}

#[tokio::test]
async fn sigint_ends_the_process_without_waiting_for_applications() {
    let pipeline = Pipeline::start(Protocol::Grpc, &[("DRAIN_TIMEOUT", "1m")]).await;
    let mut connection = pipeline.endpoint().connect().await;
    let request = pipeline.endpoint().request(pipeline.next_request(1, 0));
    assert!(connection.send(request).await.success_message().partial_success.is_none());

    let started = Instant::now();
    pipeline.receiver.signal(Signal::INT);
    let Pipeline { destination, receiver, .. } = pipeline;
    let ended = receiver.wait_for_exit().await;

    assert!(started.elapsed() < Duration::from_secs(10), "{:?}: {}", started.elapsed(), ended.log);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(destination.received_names(), ["0"]);
}

/// Runs `tracebuffer flush` as a container's preStop hook does; returns its exit code and output.
async fn flush(admin: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracebuffer"));
    command.arg("flush").env("TRACEBUFFER_ADMIN_ADDR", admin);
    let output = spawn_blocking(move || command.output()).await.expect("no panic");
    let output = output.expect("the binary runs");
    let message = String::from_utf8([output.stdout, output.stderr].concat()).expect("a text");
    (output.status.code(), message)
}

/// Ends a receiver whose destination is away; returns its log and how long it took.
async fn end_in_outage(settings: &[(&str, &str)], hook: bool) -> (String, Duration) {
    let settings = [&[("DRAIN_TIMEOUT", "1m")], settings].concat();
    let pipeline = Pipeline::start_in_outage(Protocol::Grpc, &settings).await;
    pipeline.send(10, 3).await;
    if hook {
        flush(&pipeline.receiver.admin().to_string()).await;
    }

    let started = Instant::now();
    pipeline.receiver.terminate();
    let ended = pipeline.receiver.wait_for_exit().await;

    assert!(ended.log.contains("; 30 spans were lost"), "{}", ended.log);
    (ended.log, started.elapsed())
}

#[tokio::test]
async fn a_destination_that_is_away_is_not_waited_for_longer_than_5_s() {
    let (log, took) = end_in_outage(&[], false).await;

    assert!(log.contains("ending without waiting any longer: the destination accepts"), "{log}");
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn after_its_hook_it_ends_before_the_kubelet_would_kill_it() {
    let (log, took) = end_in_outage(&[("TERMINATION_GRACE_PERIOD", "5s")], true).await;

    assert!(log.contains("ending without waiting any longer: the time is over"), "{log}");
    assert!(took < Duration::from_millis(4_500), "{took:?}");
}

#[tokio::test]
async fn a_flush_sends_lingering_spans_once_and_later_spans_linger_as_before() {
    over_both_protocols(async |protocol| {
        let pipeline = Pipeline::start(protocol, &[("LINGER", "1m")]).await;
        pipeline.send(10, 3).await;
        assert!(pipeline.destination.received_names().is_empty());

        let (code, message) = flush(&pipeline.receiver.admin().to_string()).await;

        assert_eq!(code, Some(0), "{message}");
        assert_eq!(message, "sending 30 buffered spans without waiting\n");
        pipeline.assert_all_arrived().await;
        pipeline.send(1, 1).await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(pipeline.destination.received_names(), span_names(0..30));
    })
    .await;
}

#[tokio::test]
async fn a_flush_without_a_response_succeeds_and_does_not_block() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let silent = silent.local_addr().expect("it has an address").to_string();
    let started = Instant::now();

    let (code, message) = flush(&silent).await;

    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(code, Some(0), "{message}");
    assert!(message.contains("no receiver could be flushed"), "{message}");
}
