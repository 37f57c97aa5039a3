//! The real binary, as a child process.

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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tracebuffer");
/// The log line of a process that listens, as text and as JSON.
const LISTENING_LOG_LINES: [&str; 2] = ["INFO listening", r#""INFO","message":"listening""#];
/// How often a condition is polled.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// The time limit for anything that should be quick, generous for a busy machine.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A running process. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    admin: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct ProcessExit {
    /// Exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Everything it logged.
    pub(crate) log: String,
}

/// The values of one scrape, by sample as it is written: name and labels.
#[derive(Debug)]
pub(crate) struct Metrics(BTreeMap<String, String>);

impl Process {
    /// Starts `command` with its own `TRACEBUFFER_*` variables and none of this process.
    /// `admin` is the address of its health and metrics.
    pub(crate) fn spawn(mut command: Command, admin: SocketAddr) -> Self {
        let given: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        let foreign = env::vars_os().map(|(name, _)| name);
        for name in foreign.filter(|name| name.to_string_lossy().starts_with("TRACEBUFFER_")) {
            if !given.contains(&name) {
                command.env_remove(name);
            }
        }
        let mut child = command
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
        Self { child, admin, log }
    }

    /// Waits until it listens; `false` when it ended instead.
    pub(crate) async fn wait_until_listening(&mut self) -> bool {
        let started = Instant::now();
        // The log, not /ready: another receiver that took the port first would answer there.
        while !LISTENING_LOG_LINES.iter().any(|line| self.log.lock().contains(line)) {
            if self.exit_code().is_some() {
                self.wait_for_log_end().await;
                return false;
            }
            assert!(started.elapsed() < WAIT_TIMEOUT, "it does not listen:\n{}", self.log());
            sleep(POLL_INTERVAL).await;
        }
        true
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Scrapes `/metrics`.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.get_admin("/metrics").await.1)
    }

    /// Asks the admin port for `path`; returns status and body.
    pub(crate) async fn get_admin(&self, path: &str) -> (u16, String) {
        let exchange = async {
            let mut stream = TcpStream::connect(self.admin).await?;
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = timeout(WAIT_TIMEOUT, exchange).await.expect("the admin port answers in time");
        let answer = answer.expect("the admin port can be reached");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("an answer has a status"), body.to_owned())
    }

    /// Waits until the metrics satisfy `reached`.
    pub(crate) async fn wait_for_metrics(&self, reached: impl Fn(&Metrics) -> bool) -> Metrics {
        let started = Instant::now();
        loop {
            let metrics = self.metrics().await;
            if reached(&metrics) {
                return metrics;
            }
            assert!(started.elapsed() < WAIT_TIMEOUT, "not reached in time: {metrics:#?}");
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends SIGTERM and does not wait.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal and does not wait.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it can be signalled");
    }

    /// Waits until it has ended.
    pub(crate) async fn wait_for_exit(mut self) -> ProcessExit {
        let started = Instant::now();
        let code = loop {
            if let Some(code) = self.exit_code() {
                break code;
            }
            assert!(started.elapsed() < 2 * WAIT_TIMEOUT, "it does not end:\n{}", self.log());
            sleep(POLL_INTERVAL).await;
        };
        self.wait_for_log_end().await;
        ProcessExit { code, log: self.log() }
    }

    /// Waits, after it has ended, until the last lines have been read from the pipe into the log.
    async fn wait_for_log_end(&self) {
        while Arc::strong_count(&self.log) > 1 {
            sleep(POLL_INTERVAL).await;
        }
    }

    #[allow(clippy::option_option)] // Ended or not; by an exit code or a signal.
    fn exit_code(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().expect("a child can be waited for").map(|status| status.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Metrics {
    /// Parses the text format of Prometheus.
    pub(crate) fn parse(text: &str) -> Self {
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

    /// Accepted spans that are neither sent, rejected, dropped, buffered nor in flight. Anything
    /// but 0 means that the ledger is wrong.
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

/// Addresses that were free a moment ago.
pub(crate) fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    listeners.map(|listener| listener.local_addr().expect("a bound socket has an address"))
}
