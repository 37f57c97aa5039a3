//! A receiver under attack, and the guarantees that it must keep.

use std::fs;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::client::{ALL_PROTOCOLS, ResponseKind, receiver_endpoints};
use crate::support::receiver::{Metrics, ReceiverProcess};
use crate::support::samples::spans;

/// The longest that a well-behaved client waits for a response, generous for a busy machine.
const MAX_RESPONSE_TIME: Duration = Duration::from_secs(2);
/// How long file descriptors may take to be closed.
const WAIT_TIMEOUT: Duration = Duration::from_secs(15);
/// The byte limit of the buffer.
const MAX_BYTES: u64 = 8 << 20;
/// The memory of the buffer, and 6 MiB for all else except the pages of the program's file.
const MAX_ANONYMOUS_BYTES: u64 = MAX_BYTES / 10 * 11 + (6 << 20);

/// A receiver whose memory and file descriptors are watched.
pub(crate) struct ReceiverUnderTest {
    pub(crate) receiver: ReceiverProcess,
    open_fds: u64,
}

impl ReceiverUnderTest {
    /// Starts a receiver and sends it the first requests.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with `settings`.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let process = ReceiverProcess::start(&[&[("MAX_BYTES", "8Mi")], settings].concat()).await;
        let mut receiver = Self { receiver: process, open_fds: 0 };
        receiver.assert_serves_others().await;
        receiver.open_fds = receiver.settled_fds().await;
        receiver
    }

    /// Checks that a well-behaved client is answered at once, on both ports over all protocols.
    pub(crate) async fn assert_serves_others(&self) {
        for endpoint in receiver_endpoints(&self.receiver, ALL_PROTOCOLS) {
            let started = Instant::now();
            let answer = endpoint.export(spans(&["well-behaved"])).await;
            assert_eq!(answer.kind(), ResponseKind::Accepted, "{answer:?}");
            let took = started.elapsed();
            assert!(took < MAX_RESPONSE_TIME, "{endpoint:?} took {took:?}");
        }
    }

    /// Checks that an attack has leaked no memory, file descriptors or spans.
    pub(crate) async fn assert_recovers(mut self) {
        self.assert_serves_others().await;
        let wanted = self.open_fds;
        let started = Instant::now();
        while self.open_fds().await != wanted {
            let found = self.open_fds().await;
            assert!(
                started.elapsed() < WAIT_TIMEOUT,
                "{found} file descriptors, {wanted} before the attack"
            );
            sleep(Duration::from_millis(5)).await;
        }
        self.assert_memory_bounded();
        let metrics = self.receiver.metrics().await;
        assert_eq!(metrics.unaccounted_spans(), 0, "{metrics:#?}");
        self.receiver.terminate();
        let ended = self.receiver.wait_for_exit().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        assert!(!ended.log.contains("panicked"), "{}", ended.log);
        self.open_fds = 0;
    }

    /// Opens a connection to the port for gRPC.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.receiver.grpc()).await.expect("it listens")
    }

    /// Checks the most memory that was used at any time.
    pub(crate) fn assert_memory_bounded(&self) {
        let peak = self.peak_memory_bytes();
        assert!(peak <= MAX_ANONYMOUS_BYTES, "{peak} bytes, allowed {MAX_ANONYMOUS_BYTES}");
    }

    /// The most memory that was resident at any time, without the pages of the program's file: a
    /// debug build has many times as many as a release build, and they stay resident.
    fn peak_memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.receiver.pid());
        let status = fs::read_to_string(path).expect("the process is running");
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
            kibibytes.and_then(|number| number.parse::<u64>().ok()).expect(name) << 10
        };
        bytes("VmHWM:").saturating_sub(bytes("RssFile:"))
    }

    async fn open_fds(&self) -> u64 {
        let read = |metrics: Metrics| metrics.sum("process_open_fds", &[]);
        read(self.receiver.metrics().await)
    }

    /// Open file descriptors, once the connections that ended are closed.
    async fn settled_fds(&self) -> u64 {
        let none = |metrics: &Metrics| metrics.sum::<u64>(CONNECTIONS_METRIC, &[]) == 0;
        self.receiver.wait_for_metrics(none).await;
        let mut last = self.open_fds().await;
        loop {
            sleep(Duration::from_millis(10)).await;
            let now = self.open_fds().await;
            if now == last {
                return now;
            }
            last = now;
        }
    }
}

/// Open connections of applications.
pub(crate) const CONNECTIONS_METRIC: &str = "tracebuffer_receiver_connections";

/// Sends `words` and waits until the peer closes or resets the connection. Returns what the peer
/// sent.
pub(crate) async fn send_and_read_to_end(mut stream: TcpStream, words: &[u8]) -> Vec<u8> {
    let (mut input, mut output) = stream.split();
    let mut received = Vec::new();
    let write = async {
        // Either may fail, since the peer may close the connection at any time.
        let _ = output.write_all(words).await;
        let _ = output.shutdown().await;
    };
    let read = async {
        let _ = input.read_to_end(&mut received).await;
    };
    let both = async { tokio::join!(write, read) };
    timeout(WAIT_TIMEOUT, both).await.expect("the connection ends");
    received
}
