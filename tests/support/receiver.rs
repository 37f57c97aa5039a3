//! The real binary, as a child process on ports of its own.

// Each test binary uses its own part of this.
#![allow(dead_code)]
#![allow(clippy::panic, reason = "a broken test should say so")]

use std::collections::BTreeMap;
use std::env;
use std::fmt::Debug;
use std::io::{BufRead, BufReader};
use std::iter::Sum;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const BINARY: &str = env!("CARGO_BIN_EXE_tracebuffer");
/// How often to look whether something has happened.
const POLL: Duration = Duration::from_millis(2);
/// How long anything may take that should take a moment, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often other ports are tried when somebody was quicker.
const ATTEMPTS: usize = 10;

/// A running receiver. Killed when dropped.
pub(crate) struct Receiver {
    child: Child,
    grpc: SocketAddr,
    http: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// How a receiver ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Everything it logged.
    pub(crate) log: String,
}

/// The numbers of one scrape, by sample as it is written: name and labels.
#[derive(Debug)]
pub(crate) struct Metrics(BTreeMap<String, String>);

impl Receiver {
    /// Starts a receiver and waits until it listens.
    ///
    /// `settings` are variables without `TRACEBUFFER_` and come on top of free ports on 127.0.0.1
    /// for `GRPC_ADDR`, `HTTP_ADDR` and `ADMIN_ADDR`. Without `ENDPOINT` it prints its batches,
    /// to nowhere. A `LOG_LEVEL` must let INFO through.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_as(settings, || {
            let mut command = Command::new(BINARY);
            command.arg("receiver");
            command
        })
        .await
    }

    /// Starts a receiver that may open so many files and sockets at once.
    pub(crate) async fn start_with_open_files(limit: u32, settings: &[(&str, &str)]) -> Self {
        Self::start_as(settings, move || {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!("ulimit -n {limit} && exec \"$0\" receiver"));
            command.arg(BINARY);
            command
        })
        .await
    }

    async fn start_as(settings: &[(&str, &str)], command: impl Fn() -> Command) -> Self {
        for _ in 0..ATTEMPTS {
            let mut receiver = Self::spawn(command(), settings);
            if receiver.listens().await {
                return receiver;
            }
            let log = receiver.log();
            assert!(log.contains("the port is taken"), "the receiver did not start:\n{log}");
        }
        panic!("no free ports were found in {ATTEMPTS} attempts");
    }

    fn spawn(mut command: Command, settings: &[(&str, &str)]) -> Self {
        let [grpc, http, admin] = free_addresses();
        let foreign = env::vars_os().map(|(name, _)| name);
        for name in foreign.filter(|name| name.to_string_lossy().starts_with("TRACEBUFFER_")) {
            command.env_remove(name);
        }
        let mut child = command
            .env("TRACEBUFFER_GRPC_ADDR", grpc.to_string())
            .env("TRACEBUFFER_HTTP_ADDR", http.to_string())
            .env("TRACEBUFFER_ADMIN_ADDR", admin.to_string())
            .envs(settings.iter().map(|(name, value)| (format!("TRACEBUFFER_{name}"), value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in lines.map_while(Result::ok) {
                    let mut log = log.lock();
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        Self { child, grpc, http, admin, log }
    }

    /// Waits until it listens; `false` when it ended instead.
    async fn listens(&mut self) -> bool {
        let started = Instant::now();
        // The log, not /ready: on a port that was lost to another receiver, that one would answer.
        while !self.log.lock().contains("INFO listening") {
            if self.exit_code().is_some() {
                return false;
            }
            assert!(started.elapsed() < PATIENCE, "it does not listen:\n{}", self.log());
            sleep(POLL).await;
        }
        true
    }

    /// The port that is usually spoken to over gRPC.
    pub(crate) const fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// The port that is usually spoken to over HTTP.
    pub(crate) const fn http(&self) -> SocketAddr {
        self.http
    }

    /// The port for health and metrics.
    pub(crate) const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Scrapes `/metrics`.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.get("/metrics").await.1)
    }

    /// Reads `/debug/buffer`.
    pub(crate) async fn debug(&self) -> Value {
        serde_json::from_str(&self.get("/debug/buffer").await.1).expect("it is JSON")
    }

    /// Asks the admin port for `path`; returns status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let exchange = async {
            let mut stream = TcpStream::connect(self.admin).await?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = timeout(PATIENCE, exchange).await.expect("the admin port answers in time");
        let answer = answer.expect("the admin port can be reached");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("an answer has a status"), body.to_owned())
    }

    /// Waits until the metrics are as wanted.
    pub(crate) async fn until(&self, reached: impl Fn(&Metrics) -> bool) -> Metrics {
        let started = Instant::now();
        loop {
            let metrics = self.metrics().await;
            if reached(&metrics) {
                return metrics;
            }
            assert!(started.elapsed() < PATIENCE, "not reached in time: {metrics:#?}");
            sleep(POLL).await;
        }
    }

    /// Tells it to end (SIGTERM) and does not wait.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it can be signalled");
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(mut self) -> Ended {
        let started = Instant::now();
        let code = loop {
            if let Some(code) = self.exit_code() {
                break code;
            }
            assert!(started.elapsed() < 2 * PATIENCE, "it does not end:\n{}", self.log());
            sleep(POLL).await;
        };
        // The last lines may still be on their way from the pipe to the log.
        while Arc::strong_count(&self.log) > 1 {
            sleep(POLL).await;
        }
        Ended { code, log: self.log() }
    }

    #[allow(clippy::option_option)] // Ended or not; by an exit code or a signal.
    fn exit_code(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().expect("a child can be waited for").map(|status| status.code())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Fails when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Metrics {
    fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let parsed = samples.map(|line| {
            let (sample, value) = line.rsplit_once(' ').expect("a sample has a value");
            (sample.to_owned(), value.to_owned())
        });
        Self(parsed.collect())
    }

    /// Adds up the samples of `name` that have all of `labels`. There must be some.
    pub(crate) fn sum<T>(&self, name: &str, labels: &[(&str, &str)]) -> T
    where
        T: FromStr<Err: Debug> + Sum,
    {
        let wanted: Vec<_> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let matching = self.0.iter().filter(|(sample, _)| {
            let (found, labels) = sample.split_once('{').unwrap_or((sample, ""));
            found == name && wanted.iter().all(|label| labels.contains(label.as_str()))
        });
        let mut values = matching.map(|(_, value)| value.parse().expect("a number")).peekable();
        assert!(values.peek().is_some(), "no sample of {name} with {labels:?} in {self:#?}");
        values.sum()
    }

    /// Spans that were accepted, over all transports.
    pub(crate) fn accepted_spans(&self) -> i64 {
        self.sum("tracebuffer_receiver_accepted_spans_total", &[])
    }

    /// Accepted spans that are in none of the places where they may be. Always 0, or the ledger
    /// is wrong.
    pub(crate) fn unaccounted_spans(&self) -> i64 {
        const PLACES: [&str; 5] = [
            "tracebuffer_exporter_sent_spans_total",
            "tracebuffer_exporter_rejected_spans_total",
            "tracebuffer_dropped_spans_total",
            "tracebuffer_buffer_spans",
            "tracebuffer_exporter_in_flight_spans",
        ];
        self.accepted_spans() - PLACES.map(|place| self.sum::<i64>(place, &[])).iter().sum::<i64>()
    }
}

/// Three addresses that were free a moment ago.
fn free_addresses() -> [SocketAddr; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    listeners.map(|listener| listener.local_addr().expect("a bound socket has an address"))
}
