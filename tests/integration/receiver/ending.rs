//! What the process says at its end, and what ends it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tracebuffer::adapters::final_ledger;
use tracebuffer::adapters::messaging::destination::config::Protocol;

use crate::support::pipeline::{Pipeline, span_names, within_timeout};
use crate::support::receiver::{ProcessExit, ReceiverProcess};
use crate::support::samples::{serialized, span};
use crate::support::scripted_destination::ScriptedResponse;

/// A container's file for its termination message.
struct TerminationLog {
    path: PathBuf,
    _folder: TempDir,
}

impl TerminationLog {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory can be made");
        let path = folder.path().join("termination-log");
        fs::write(&path, "").expect("a file can be written");
        Self { path, _folder: folder }
    }

    fn setting(&self) -> (&str, &str) {
        ("TERMINATION_MESSAGE_FILE", self.path.to_str().expect("a path is text"))
    }

    /// Asserts that the termination message is this ledger, and readable for the operator.
    fn assert_ledger(&self, ledger: &str) {
        let written = fs::read_to_string(&self.path).expect("it can be read");
        assert_eq!(written, ledger);
        assert!(final_ledger::from_message(&written).is_some(), "{written}");
    }
}

/// Asserts that the last line of the log is this one.
fn assert_last_line(ended: &ProcessExit, level: &str, sentence: &str) {
    let last = ended.log.lines().last().expect("something is logged");
    assert!(last.ends_with(&format!("{level} {sentence}")), "{}", ended.log);
}

async fn end(pipeline: Pipeline) -> ProcessExit {
    let Pipeline { receiver, destination, .. } = pipeline;
    receiver.terminate();
    let ended = receiver.wait_for_exit().await;
    drop(destination);
    ended
}

#[tokio::test]
async fn a_run_that_delivered_everything_ends_with_its_ledger() {
    let file = TerminationLog::new();
    let pipeline = Pipeline::start(Protocol::Grpc, &[file.setting()]).await;
    pipeline.send(10, 3).await;

    let ended = end(pipeline).await;

    let ledger = "accepted 30, sent 30, rejected 0, dropped 0, unsent 0";
    assert_last_line(&ended, " INFO", &format!("ended; nothing was lost: {ledger}"));
    file.assert_ledger(r#"{"received":30,"delivered":30,"lost":{}}"#);
}

#[tokio::test]
async fn an_overflow_just_before_the_end_is_logged_and_counted() {
    let file = TerminationLog::new();
    let settings = [("MAX_SPANS", "10"), ("DRAIN_TIMEOUT", "100ms"), file.setting()];
    let pipeline = Pipeline::start_in_outage(Protocol::Grpc, &settings).await;
    pipeline.send(10, 3).await;

    let ended = end(pipeline).await;

    let dropped = "ERROR the oldest spans were dropped spans=20 reason=\"overflow\" total=20";
    assert!(ended.log.contains(dropped), "{}", ended.log);
    let ledger = "accepted 30, sent 0, rejected 0, dropped 20 (overflow 20), unsent 10";
    assert_last_line(&ended, "ERROR", &format!("ended; 30 spans were lost: {ledger}"));
    file.assert_ledger(r#"{"received":30,"delivered":0,"lost":{"overflow":20,"shutdown":10}}"#);
}

#[tokio::test]
async fn spans_that_expired_just_before_the_end_are_logged_and_counted() {
    let file = TerminationLog::new();
    let settings = [("MAX_AGE", "100ms"), ("DRAIN_TIMEOUT", "2s"), file.setting()];
    let pipeline = Pipeline::start_in_outage(Protocol::Grpc, &settings).await;
    pipeline.send(1, 3).await;

    let ended = end(pipeline).await;

    assert!(ended.log.contains("spans=3 reason=\"expired\""), "{}", ended.log);
    let ledger = "accepted 3, sent 0, rejected 0, dropped 3 (expired 3), unsent 0";
    assert_last_line(&ended, "ERROR", &format!("ended; 3 spans were lost: {ledger}"));
    file.assert_ledger(r#"{"received":3,"delivered":0,"lost":{"expired":3}}"#);
}

#[tokio::test]
async fn spans_that_the_destination_rejected_are_lost() {
    let file = TerminationLog::new();
    let pipeline = Pipeline::start(Protocol::Grpc, &[file.setting()]).await;
    let answer = ScriptedResponse::PartialSuccess { rejected: 2, message: "too old" };
    pipeline.destination.script([answer]);
    pipeline.send(1, 5).await;

    let ended = end(pipeline).await;

    let ledger = "accepted 5, sent 3, rejected 2, dropped 0, unsent 0";
    assert_last_line(&ended, "ERROR", &format!("ended; 2 spans were lost: {ledger}"));
    file.assert_ledger(r#"{"received":5,"delivered":3,"lost":{"rejected":2}}"#);
}

#[tokio::test]
async fn without_a_file_for_it_the_ledger_is_logged_only() {
    let folder = tempfile::tempdir().expect("a directory can be made");
    let path = folder.path().join("termination-log");
    let setting = ("TERMINATION_MESSAGE_FILE", path.to_str().expect("a path is text"));
    let pipeline = Pipeline::start(Protocol::Grpc, &[setting]).await;
    pipeline.send(1, 3).await;

    let ended = end(pipeline).await;

    let ledger = "accepted 3, sent 3, rejected 0, dropped 0, unsent 0";
    assert_last_line(&ended, " INFO", &format!("ended; nothing was lost: {ledger}"));
    assert!(!ended.log.contains("termination message"), "{}", ended.log);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_second_signal_leaves_the_ledger_too() {
    let file = TerminationLog::new();
    let settings = [("DRAIN_TIMEOUT", "1m"), file.setting()];
    let pipeline = Pipeline::start_in_outage(Protocol::Grpc, &settings).await;
    pipeline.send(2, 2).await;
    pipeline.receiver.terminate();
    within_timeout("the drain", async {
        while !pipeline.receiver.log().contains("delivering what is buffered") {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;

    let ended = end(pipeline).await;

    let ledger = "accepted 4, sent 0, rejected 0, dropped 0, unsent 4";
    let sentence = format!("second stop signal: ended at once; 4 spans were lost: {ledger}");
    assert_last_line(&ended, "ERROR", &sentence);
    file.assert_ledger(r#"{"received":4,"delivered":0,"lost":{"shutdown":4}}"#);
}

#[tokio::test]
async fn every_terminal_signal_delivers_what_is_buffered() {
    for signal in [Signal::HUP, Signal::QUIT, Signal::TERM, Signal::INT] {
        let pipeline = Pipeline::start(Protocol::Grpc, &[("LINGER", "1m")]).await;
        pipeline.send(1, 3).await;
        let Pipeline { receiver, destination, .. } = pipeline;

        receiver.signal(signal);
        let ended = receiver.wait_for_exit().await;

        assert_eq!(ended.code, Some(0), "{signal:?}: {}", ended.log);
        assert_eq!(destination.received_names(), span_names(0..3), "{signal:?}");
    }
}

#[tokio::test]
async fn signals_that_mean_nothing_are_ignored() {
    let pipeline = Pipeline::start(Protocol::Grpc, &[]).await;
    let named = [
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::POWER,
        Signal::STKFLT,
        Signal::XCPU,
        Signal::XFSZ,
        Signal::PIPE,
    ];
    for signal in named {
        pipeline.receiver.signal(signal);
    }

    // Beyond the first real-time signals, which C libraries reserve.
    for real_time in [36, 40, 63] {
        let mut kill = Command::new("sh");
        kill.arg("-c").arg(format!("kill -{real_time} {}", pipeline.receiver.pid()));
        assert!(kill.status().expect("a shell runs").success());
    }

    pipeline.send(1, 3).await;

    pipeline.assert_all_arrived().await;
}

#[tokio::test]
async fn a_hang_up_that_was_ignored_from_the_start_stays_ignored() {
    let receiver = ReceiverProcess::start_ignoring_hang_up(&[]).await;

    receiver.signal(Signal::HUP);
    sleep(Duration::from_millis(200)).await;

    assert_eq!(receiver.get_admin("/ready").await.0, 200);
}

#[tokio::test]
async fn spans_that_could_never_be_accepted_are_lost_too() {
    let file = TerminationLog::new();
    let pipeline = Pipeline::start(Protocol::Grpc, &[file.setting()]).await;
    let invalid = Span { trace_id: vec![1; 3], ..span("invalid") };
    let endpoint = pipeline.endpoint();
    let request = serialized(vec![span("0"), invalid]);
    endpoint.connect().await.send(endpoint.request(request)).await;
    pipeline.destination.wait_for_spans(1).await;

    let ended = end(pipeline).await;

    let ledger = "accepted 1, sent 1, rejected 0, dropped 0, unsent 0";
    let refused = "not accepted, because invalid or too large: 1";
    let sentence = format!("ended; 1 span was lost: {ledger}; {refused}");
    assert_last_line(&ended, "ERROR", &sentence);
    file.assert_ledger(r#"{"received":2,"delivered":1,"lost":{"refused":1}}"#);
}

/// Lines that were withheld are summed up before the last line.
#[tokio::test]
async fn the_ledger_is_the_last_line_whatever_was_withheld() {
    let file = TerminationLog::new();
    let pipeline = Pipeline::start(Protocol::Grpc, &[file.setting()]).await;
    let endpoint = pipeline.endpoint();
    for _ in 0..8 {
        endpoint.connect().await.send(endpoint.request(vec![0xff])).await;
    }

    let ended = end(pipeline).await;

    assert!(ended.log.contains("more such lines were not logged"), "{}", ended.log);
    let last = ended.log.lines().last().expect("something is logged");
    assert!(last.contains(" ended; "), "{}", ended.log);
}

#[tokio::test]
async fn a_flush_does_not_disturb_a_destination_that_asked_for_quiet() {
    let pipeline = Pipeline::start(Protocol::Grpc, &[]).await;
    pipeline.destination.set_default_response(ScriptedResponse::Grpc {
        code: 14,
        message: "later",
        retry_after: Some(Duration::from_mins(1)),
    });
    pipeline.send(1, 3).await;
    pipeline.wait_until_failing(1).await;

    for _ in 0..20 {
        assert!(admin(&pipeline, "POST /flush", "localhost").await.starts_with("HTTP/1.1 200"));
    }
    sleep(Duration::from_millis(300)).await;

    assert_eq!(pipeline.destination.requests().len(), 1);
}

#[tokio::test]
async fn only_this_machine_by_its_own_name_may_flush_and_see_the_buffer() {
    let pipeline = Pipeline::start(Protocol::Grpc, &[]).await;
    for request in ["GET /debug/buffer", "POST /flush"] {
        let local = admin(&pipeline, request, "127.0.0.1:9417").await;
        assert!(local.starts_with("HTTP/1.1 200"), "{local}");

        let rebound = admin(&pipeline, request, "evil.example:9417").await;
        assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
        let foreign = "localhost\r\norigin: http://evil.example";
        let foreign = admin(&pipeline, request, foreign).await;
        assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
        let absolute = request.replace(" /", " http://evil.example/");
        let absolute = admin(&pipeline, &absolute, "localhost").await;
        assert!(absolute.starts_with("HTTP/1.1 403"), "{absolute}");
    }
}

/// Sends a request with this host, and perhaps more headers, to the admin port.
async fn admin(pipeline: &Pipeline, request: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(pipeline.receiver.admin()).await.expect("it listens");
    let head = format!("{request} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer
}

#[tokio::test]
async fn all_misspelt_variables_are_warned_of_in_one_line() {
    let misspelt = ["MAX_SPAN", "ENPOINT", "LINGE", "OVERFLOWS", "WORKER", "MAX_AG", "TIMEOUTS"];
    let links = [("SERVICE_HOST", "10.0.0.1"), ("X_PORT_80_TCP", "x")];
    let settings: Vec<_> = misspelt.map(|name| (name, "7")).into_iter().chain(links).collect();
    let pipeline = Pipeline::start(Protocol::Grpc, &settings).await;

    let log = pipeline.receiver.log();

    let warning = "TRACEBUFFER_MAX_SPAN is not a setting; did you mean TRACEBUFFER_MAX_SPANS?";
    assert!(log.contains(warning), "{log}");
    assert_eq!(log.matches("is not a setting").count(), misspelt.len(), "{log}");
}
