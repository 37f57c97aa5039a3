//! Files that are missing, invalid or change while it runs, and secrets that must never be shown.

use std::fs;
use std::process::Command;
use std::time::Duration;

use tokio::time::sleep;
use tracebuffer::adapters::messaging::destination::config::Protocol;

use crate::support::pipeline::{
    Pipeline, dropped_spans, failed_requests, over_both_protocols, within_timeout,
};
use crate::support::pki::{IssuedCertificate, TestAuthority, write};
use crate::support::receiver::ReceiverProcess;
use crate::support::scripted_destination::{ScriptedDestination, ScriptedResponse};
use crate::support::volume::Volume;

const SECRET: &str = "s3cr3t-0f-the-t3st";

#[tokio::test]
async fn without_its_header_file_it_buffers_reports_why_and_delivers_once_the_file_exists() {
    over_both_protocols(async |protocol| {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let file = directory.path().join("headers");
        let path = file.to_str().expect("a path is text");
        let pipeline = Pipeline::start(protocol, &[("HEADERS_FILE", path)]).await;

        pipeline.while_auditing(pipeline.send(5, 2)).await;
        pipeline.wait_until_failing(1).await;
        assert_buffers_and_names(&pipeline, path, "No such file").await;

        fs::write(&file, "x-tenant: blue\n").expect("a file can be written");
        pipeline.while_auditing(pipeline.assert_all_arrived()).await;
        assert_eq!(last_header(&pipeline, "x-tenant"), "blue");
        fs::write(&file, "x-tenant: green\n").expect("a file can be written");
        pipeline.send(1, 1).await;
        pipeline.assert_all_arrived().await;
        assert_eq!(last_header(&pipeline, "x-tenant"), "green");
    })
    .await;
}

/// Files that a program which opens or reads them may wait for: a pipe without a writer, a directory.
fn blocking_files(folder: &std::path::Path) -> [std::path::PathBuf; 2] {
    let pipe = folder.join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    [pipe, folder.to_owned()]
}

#[tokio::test]
async fn a_pipe_or_directory_in_place_of_any_file_hangs_nothing_and_is_reported() {
    let folder = tempfile::tempdir().expect("a directory can be made");
    for path in blocking_files(folder.path()) {
        let path = path.to_str().expect("a path is text");
        let value_files = format!("authorization={path}");
        let https = "https://localhost:4319";
        let cases: [&[(&str, &str)]; 5] = [
            &[("HEADERS_FILE", path)],
            &[("HEADER_VALUE_FILES", &value_files)],
            &[("HEADER_VALUE_FILES", &value_files), ("OPTIONAL_HEADERS", "authorization")],
            &[("ENDPOINT", https), ("CA_FILE", path)],
            &[("ENDPOINT", https), ("CLIENT_CERTIFICATE_FILE", path), ("CLIENT_KEY_FILE", path)],
        ];
        for settings in cases {
            let drain = [("DRAIN_TIMEOUT", "200ms"), ("LIMITS_FILE", path)];
            let settings = [&drain, settings].concat();
            let pipeline = Pipeline::start(Protocol::Grpc, &settings).await;

            pipeline.send(1, 1).await;
            pipeline.wait_until_failing(2).await;

            assert_eq!(pipeline.receiver.get_admin("/live").await.0, 200);
            let log = pipeline.receiver.log();
            assert!(log.contains("the limits file is invalid"), "{log}");
            assert!(log.contains("code=\"FILE\""), "{settings:?}: {log}");
            assert_eq!(log.matches("it is not a regular file").count(), 2, "{log}");
            pipeline.receiver.terminate();
            let Pipeline { receiver, .. } = pipeline;
            assert_eq!(receiver.wait_for_exit().await.code, Some(0));
        }
    }
}

#[tokio::test]
async fn without_its_ca_file_it_buffers_reports_why_and_delivers_once_the_file_exists() {
    over_both_protocols(async |protocol| {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let file = directory.path().join("ca.pem");
        let path = file.to_str().expect("a path is text");
        let authority = TestAuthority::new();
        let spoken: &[&str] = if protocol == Protocol::Grpc { &["h2"] } else { &["http/1.1"] };
        let server = authority.server_config(spoken, false);
        let destination = ScriptedDestination::start_tls(protocol, server).await;
        let endpoint = format!("https://localhost:{}", destination.address().port());
        let settings = [("ENDPOINT", endpoint.as_str()), ("CA_FILE", path)];
        let pipeline = Pipeline::start_with_destination(destination, protocol, &settings).await;

        pipeline.while_auditing(pipeline.send(5, 2)).await;
        pipeline.wait_until_failing(1).await;
        assert_buffers_and_names(&pipeline, path, "No such file").await;

        fs::write(&file, authority.pem()).expect("a file can be written");
        pipeline.while_auditing(pipeline.assert_all_arrived()).await;
    })
    .await;
}

#[tokio::test]
async fn with_an_invalid_client_certificate_it_buffers_reports_why_and_delivers_once_it_is_valid() {
    over_both_protocols(async |protocol| {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let put = |name: &str, text: &str| write(directory.path(), name, text);
        let authority = TestAuthority::new();
        let spoken: &[&str] = if protocol == Protocol::Grpc { &["h2"] } else { &["http/1.1"] };
        let server = authority.server_config(spoken, true);
        let destination = ScriptedDestination::start_tls(protocol, server).await;
        let endpoint = format!("https://localhost:{}", destination.address().port());
        let files = [put("ca.pem", &authority.pem()), put("crt", "garbage"), put("key", "garbage")];
        let [ca, certificate, key] =
            files.each_ref().map(|path| path.to_str().expect("a path is text"));
        let settings = [
            ("ENDPOINT", endpoint.as_str()),
            ("CA_FILE", ca),
            ("CLIENT_CERTIFICATE_FILE", certificate),
            ("CLIENT_KEY_FILE", key),
        ];
        let pipeline = Pipeline::start_with_destination(destination, protocol, &settings).await;

        pipeline.while_auditing(pipeline.send(5, 2)).await;
        pipeline.wait_until_failing(1).await;
        assert_buffers_and_names(&pipeline, certificate, "no PEM certificate").await;

        let IssuedCertificate { certificate, key } = authority.issue("client");
        put("crt", &certificate);
        put("key", &key);
        pipeline.while_auditing(pipeline.assert_all_arrived()).await;
    })
    .await;
}

#[tokio::test]
async fn limits_from_a_file_apply_while_it_runs_and_an_invalid_file_changes_nothing() {
    let mut volume = Volume::new();
    let file = volume.path("limits");
    let settings = [("LIMITS_FILE", file.to_str().expect("a path is text")), ("MAX_SPANS", "100")];
    let pipeline = Pipeline::start_in_outage(Protocol::Grpc, &settings).await;
    let held = |spans| {
        pipeline
            .receiver
            .wait_for_metrics(move |m| m.sum::<i64>("tracebuffer_buffer_spans", &[]) == spans)
    };
    // The log is written after what it tells has taken effect.
    let receiver = &pipeline.receiver;
    let logged = |text: &'static str, times| {
        within_timeout(text, async move {
            while receiver.log().matches(text).count() < times {
                sleep(Duration::from_millis(5)).await;
            }
        })
    };
    // The receiver starts without the file.
    assert!(pipeline.receiver.log().contains("No such file"), "{}", pipeline.receiver.log());
    pipeline.send(10, 3).await;

    volume.put(&[("limits", "max_spans=12\nmax_bytes=1Mi\n")]);
    let metrics = held(12).await;
    assert_eq!(dropped_spans(&metrics, "overflow"), 18);

    volume.put(&[("limits", "max_spans=none\n")]);
    logged("max_spans is \"none\"", 1).await;
    let limits = pipeline.receiver.debug().await["limits"].clone();
    assert_eq!(
        (limits["max_spans"].clone(), limits["max_bytes"].clone()),
        (12.into(), (1 << 20).into())
    );

    volume.put(&[("limits", "max_spans=5\n")]);
    held(5).await;
    logged("limits changed", 2).await;
    let log = pipeline.receiver.log();
    assert_eq!(log.matches("limits changed").count(), 2, "{log}");
}

#[tokio::test]
async fn batches_in_flight_leave_room_for_new_spans_under_limits_from_a_file() {
    let mut volume = Volume::new();
    let file = volume.path("limits");
    volume.put(&[("limits", "max_spans=16\n")]);
    let settings = [
        ("LIMITS_FILE", file.to_str().expect("a path is text")),
        ("CONCURRENCY", "4"),
        // Batches linger until they are full, so each worker takes as much as it may.
        ("LINGER", "1m"),
        ("TIMEOUT", "5m"),
    ];
    let pipeline = Pipeline::start(Protocol::Grpc, &settings).await;
    pipeline.destination.set_default_response(ScriptedResponse::NeverRespond);
    pipeline.send(16, 1).await;
    pipeline.destination.wait_for_requests(4).await;

    // Every request must be accepted.
    pipeline.send(24, 1).await;

    let metrics = pipeline.receiver.metrics().await;
    let in_flight = metrics.sum::<i64>("tracebuffer_exporter_in_flight_spans", &[]);
    assert!((1..=8).contains(&in_flight), "{in_flight}");
}

#[tokio::test]
async fn spans_arrive_unchanged_with_every_compression() {
    for compression in ["none", "gzip", "zstd"] {
        over_both_protocols(async |protocol| {
            let pipeline = Pipeline::start(protocol, &[("COMPRESSION", compression)]).await;

            pipeline.send_padded(10, 5, 1000).await;
            pipeline.assert_all_arrived().await;

            let spans = pipeline.destination.received_spans();
            assert!(spans.iter().all(|span| span.trace_state == "x".repeat(1000)));
            let small = pipeline.destination.requests().iter().all(|r| r.wire_bytes < 5000);
            assert_eq!(small, compression != "none");
        })
        .await;
    }
}

async fn assert_buffers_and_names(pipeline: &Pipeline, path: &str, why: &str) {
    assert_eq!(pipeline.receiver.get_admin("/ready").await.0, 200);
    let debug = pipeline.receiver.debug().await;
    assert_eq!(debug["buffer"]["spans"], 10, "{debug:#}");
    let error = &debug["destination"]["last_error"];
    assert_eq!(error["code"], "FILE", "{debug:#}");
    let message = error["message"].as_str().expect("a text");
    assert!(message.contains(path) && message.contains(why), "{message}");
    let metrics = pipeline.receiver.metrics().await;
    assert!(failed_requests(&metrics, "FILE", false) >= 1, "{metrics:#?}");
    assert!(pipeline.receiver.log().contains(path), "{}", pipeline.receiver.log());
    assert!(pipeline.destination.requests().is_empty());
}

fn last_header(pipeline: &Pipeline, name: &str) -> String {
    let request = pipeline.destination.requests().pop().expect("a request came");
    let value = request.headers.get(name).expect("it has the header");
    value.to_str().expect("a text").to_owned()
}

#[tokio::test]
async fn secrets_are_sent_to_the_destination_and_shown_nowhere_else() {
    let list = format!("authorization=Bearer%20{SECRET}");
    for format in ["text", "json"] {
        over_both_protocols(async |protocol| {
            let directory = tempfile::tempdir().expect("a directory can be made");
            let file = directory.path().join("headers");
            fs::write(&file, format!("x-key: {SECRET}\n")).expect("a file can be written");
            let path = file.to_str().expect("a path is text");
            let token = write(directory.path(), "token", SECRET);
            let pipeline = Pipeline::start(
                protocol,
                &[
                    ("HEADERS", &list),
                    ("HEADERS_FILE", path),
                    ("HEADER_VALUE_FILES", &format!("x-token={}", token.display())),
                    ("HEADER_VALUE_PREFIXES", &format!("x-token={SECRET}%20")),
                    ("OPTIONAL_HEADERS", "x-token"),
                    ("LOG_LEVEL", "trace"),
                    ("LOG_FORMAT", format),
                    ("DRAIN_TIMEOUT", "100ms"),
                ],
            )
            .await;
            let denial = match protocol {
                Protocol::Grpc => ScriptedResponse::grpc(16),
                Protocol::Http => ScriptedResponse::http(401),
            };
            pipeline.destination.script([
                denial,
                ScriptedResponse::ResetConnection,
                ScriptedResponse::ResetStream,
            ]);

            for _ in 0..4 {
                pipeline.send(1, 1).await;
                pipeline.wait_until_drained().await;
            }
            // An invalid file, whose content is secret too.
            fs::write(&file, format!("{SECRET}\n")).expect("a file can be written");
            pipeline.send(1, 1).await;
            pipeline.wait_until_failing(1).await;

            let sent = last_header(&pipeline, "authorization");
            assert_eq!(sent, format!("Bearer {SECRET}"));
            assert_eq!(last_header(&pipeline, "x-key"), SECRET);
            assert_eq!(last_header(&pipeline, "x-token"), format!("{SECRET} {SECRET}"));
            for page in ["/", "/ready", "/metrics", "/debug/buffer"] {
                let (_, body) = pipeline.receiver.get_admin(page).await;
                assert!(!body.contains(SECRET), "{page}: {body}");
            }
            pipeline.receiver.terminate();
            let log = pipeline.receiver.wait_for_exit().await.log;
            assert!(log.contains("DEBUG"), "{log}");
            assert!(!log.contains(SECRET), "{log}");
        })
        .await;
    }
}

#[tokio::test]
async fn an_endpoint_that_looks_like_another_protocols_is_doubted_once_and_used() {
    let settings = [("ENDPOINT", "http://localhost:14268"), ("PROTOCOL", "http")];

    let receiver = ReceiverProcess::start(&settings).await;

    let log = receiver.log();
    let doubt = "the endpoint has port 14268, which is usually that of Jaeger's own HTTP protocol";
    assert_eq!(log.matches(doubt).count(), 1, "{log}");
}

#[test]
fn secrets_are_not_shown_in_configuration_errors() {
    let wrong = [
        ("HEADERS", format!("authorization: Bearer {SECRET}\nx")),
        ("HEADERS", SECRET.to_owned()),
        ("HEADERS", format!("a b={SECRET}")),
        ("HEADERS", format!("a={SECRET}%zz")),
        ("HEADERS", format!("grpc-timeout={SECRET}")),
        ("HEADER_VALUE_PREFIXES", format!("a={SECRET}")),
        ("HEADER_VALUE_PREFIXES", format!("a={SECRET}%zz")),
        ("ENDPOINT", format!("http://user:{SECRET}@localhost:4317")),
    ];
    for (name, value) in wrong {
        for (flag, variable) in [(false, true), (true, false)] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tracebuffer"));
            command.arg("receiver").env("TRACEBUFFER_MAX_SPANS", "none");
            if variable {
                command.env(format!("TRACEBUFFER_{name}"), &value);
            }
            if flag {
                command.arg(format!("--{}={value}", name.to_lowercase().replace('_', "-")));
            }

            let output = command.output().expect("the binary starts");

            let message = [output.stdout, output.stderr].concat();
            let message = String::from_utf8_lossy(&message);
            assert_eq!(output.status.code(), Some(64), "{value}: {message}");
            assert!(message.contains("TRACEBUFFER_MAX_SPANS"), "{message}");
            assert!(!message.contains(SECRET), "{message}");
            let named = message.to_uppercase().replace('-', "_");
            assert!(named.contains(name), "{name} is not named: {message}");
        }
    }
}

#[tokio::test]
async fn a_secret_that_the_destination_repeats_is_not_shown() {
    let headers = format!("authorization=Bearer {SECRET}");
    let repeated = "invalid api key: s3cr3t-0f-the-t3st";
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let pipeline = Pipeline::start(protocol, &[("HEADERS", &headers)]).await;
        pipeline.destination.script([match protocol {
            Protocol::Grpc => {
                ScriptedResponse::Grpc { code: 16, message: repeated, retry_after: None }
            }
            Protocol::Http => {
                ScriptedResponse::Http { status: 401, message: repeated, retry_after: None }
            }
        }]);
        pipeline.send(1, 1).await;
        let Pipeline { receiver, destination: _destination, .. } = pipeline;
        sleep(Duration::from_millis(500)).await;
        receiver.terminate();

        let log = receiver.wait_for_exit().await.log;

        assert!(log.contains("invalid api key: [hidden]"), "{log}");
        assert!(!log.contains(SECRET), "{log}");
    }
}
