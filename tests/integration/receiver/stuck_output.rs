//! Nobody reads what the process writes: a log driver that is stuck, a paused terminal.

use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::client::{Protocol, ReceiverEndpoint, ResponseKind};
use crate::support::process::{BINARY, free_addresses};
use crate::support::samples::spans;

/// The size of the smallest pipe.
const PIPE_BYTES: usize = 4096;
/// The longest that anything may take while nobody reads, generous for a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process one of whose outputs nobody reads. Killed when dropped.
struct Unread {
    child: Child,
    output: PipeReader,
}

/// A receiver that logs every delivery.
struct UnreadReceiver {
    process: Unread,
    http: SocketAddr,
    admin: SocketAddr,
}

/// A pipe that is small, and the file to write to it.
fn pipe() -> (PipeReader, File) {
    let (reader, writer) = io::pipe().expect("a pipe can be made");
    fcntl_setpipe_size(&writer, PIPE_BYTES).expect("a pipe can be small");
    (reader, OwnedFd::from(writer).into())
}

impl Unread {
    /// Starts the binary with a standard error that nobody reads.
    fn stderr(command: &mut Command) -> Self {
        let (output, writer) = pipe();
        let child = command.stdout(Stdio::null()).stderr(writer).stdin(Stdio::null()).spawn();
        Self { child: child.expect("the binary starts"), output }
    }

    async fn wait_for_exit(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Reads everything from now on.
    fn read(&self) -> thread::JoinHandle<String> {
        let mut output = self.output.try_clone().expect("a pipe can be cloned");
        thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).expect("it is text");
            text
        })
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        // Fails if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl UnreadReceiver {
    async fn start(arrange: impl FnOnce(&mut Command) -> Unread, level: &str) -> Self {
        let [grpc, http, admin] = free_addresses();
        let mut command = Command::new(BINARY);
        command
            .arg("receiver")
            .env("TRACEBUFFER_GRPC_ADDR", grpc.to_string())
            .env("TRACEBUFFER_HTTP_ADDR", http.to_string())
            .env("TRACEBUFFER_ADMIN_ADDR", admin.to_string())
            .env("TRACEBUFFER_LINGER", "0s")
            .env("TRACEBUFFER_LOG_LEVEL", level);
        let receiver = Self { process: arrange(&mut command), http, admin };
        let started = Instant::now();
        while TcpStream::connect(admin).await.is_err() {
            assert!(started.elapsed() < PATIENCE, "it does not listen");
            sleep(Duration::from_millis(5)).await;
        }
        receiver
    }

    async fn assert_serves(&self) {
        let endpoint = ReceiverEndpoint { address: self.http, protocol: Protocol::Http1 };
        let answer = timeout(PATIENCE, endpoint.export(spans(&["x"]))).await.expect("in time");
        assert_eq!(answer.kind(), ResponseKind::Accepted, "{answer:?}");
        assert!(timeout(PATIENCE, self.live()).await.expect("/live answers in time"));
    }

    async fn live(&self) -> bool {
        let mut stream = TcpStream::connect(self.admin).await.expect("it listens");
        let request = b"GET /live HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        answer.starts_with("HTTP/1.1 200")
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.process.child), Signal::TERM).expect("it runs");
    }
}

/// Sends more than pipe and queue can hold of the log.
async fn fill(receiver: &UnreadReceiver) {
    let endpoint = ReceiverEndpoint { address: receiver.http, protocol: Protocol::Http1 };
    let mut connection = endpoint.connect().await;
    for _ in 0..3000 {
        let sending = connection.send(endpoint.request(spans(&["x"])));
        let answer = timeout(PATIENCE, sending).await.expect("in time");
        assert_eq!(answer.kind(), ResponseKind::Accepted, "{answer:?}");
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_neither_receiving_nor_probes_nor_the_end() {
    let mut receiver = UnreadReceiver::start(Unread::stderr, "debug").await;
    fill(&receiver).await;

    receiver.assert_serves().await;
    receiver.terminate();

    assert!(receiver.process.wait_for_exit().await.success());
}

#[tokio::test]
async fn a_log_that_is_read_again_tells_how_many_lines_were_lost_and_how_the_run_ended() {
    let mut receiver = UnreadReceiver::start(Unread::stderr, "debug").await;
    fill(&receiver).await;

    let log = receiver.process.read();
    receiver.terminate();
    receiver.process.wait_for_exit().await;

    let log = log.join().expect("it is read");
    assert!(log.contains("ERROR log lines were lost"), "{log}");
    let last = log.lines().last().expect("there are lines");
    assert!(last.contains("INFO ended"), "{last}");
}

#[tokio::test]
async fn a_console_that_nobody_reads_stops_neither_receiving_nor_probes_nor_the_end() {
    let stdout = |command: &mut Command| {
        let (output, writer) = pipe();
        let child = command.stdout(writer).stderr(Stdio::null()).stdin(Stdio::null()).spawn();
        Unread { child: child.expect("the binary starts"), output }
    };
    let mut receiver = UnreadReceiver::start(
        |command| stdout(command.env("TRACEBUFFER_DRAIN_TIMEOUT", "500ms")),
        "info",
    )
    .await;
    fill(&receiver).await;

    receiver.assert_serves().await;
    receiver.terminate();

    assert!(receiver.process.wait_for_exit().await.success());
}

#[tokio::test]
async fn errors_that_nobody_reads_do_not_keep_a_process_that_cannot_start() {
    let invalid = "x".repeat(2 * PIPE_BYTES);
    let errors = (0..300).map(|number| format!("--unknown-{number}={invalid}"));
    let mut wrong_flags = Command::new(BINARY);
    wrong_flags.arg("receiver").args(errors.take(1));
    let mut wrong_settings = Command::new(BINARY);
    wrong_settings.arg("receiver");
    let names =
        ["MAX_SPANS", "MAX_BYTES", "MAX_AGE", "TIMEOUT", "LINGER", "CONCURRENCY", "WORKERS"];
    for name in names {
        wrong_settings.env(format!("TRACEBUFFER_{name}"), "é".repeat(100));
    }
    for command in [&mut wrong_flags, &mut wrong_settings] {
        let (output, mut writer) = pipe();
        // The pipe is full from the start.
        io::Write::write_all(&mut writer, &[b'x'; PIPE_BYTES]).expect("it fits");
        let child = command.stdout(Stdio::null()).stderr(writer).stdin(Stdio::null()).spawn();
        let mut process = Unread { child: child.expect("the binary starts"), output };

        assert_eq!(process.wait_for_exit().await.code(), Some(64));
    }
}
