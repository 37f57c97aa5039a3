//! The receiver: listen, buffer, forward, until told to stop.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Duration, Instant, timeout};
use tracing::{error, info, warn};

use super::limits_file::LimitsFile;
use super::pipeline::{Pipeline, Workers};
use super::settings::Settings;
use super::{process, watch};
use crate::adapters::messaging::destination::config::DestinationSettings;
use crate::adapters::messaging::otlp::OtlpService;
use crate::adapters::server::{Connections, bind};
use crate::adapters::telemetry::admin::AdminState;
use crate::adapters::telemetry::logging;
use crate::adapters::telemetry::pages::AdminService;
use crate::application::drain::{Drained, Forwarding, drain};
use crate::domain::limits::Limits;
use crate::ports::buffer::TraceBufferPort;

/// How long open requests may take to end once their connections were asked to go.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Runs a receiver until it is told to stop. Fails when a port cannot be opened, or the system refuses
/// something else that is needed.
#[must_use]
pub fn run(settings: Settings) -> ExitCode {
    logging::init(&settings.log);
    let runtime = runtime(settings.workers.get());
    process::run(runtime, "the receiver cannot start", serve(settings))
}

fn runtime(workers: usize) -> std::io::Result<Runtime> {
    match workers {
        1 => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    }
}

/// The open ports.
struct Ports {
    otlp: Vec<TcpListener>,
    admin: Vec<TcpListener>,
}

/// Why the receiver stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Kubernetes or a supervisor ends it; applications may still have something to send.
    Terminate,
    /// A person at a terminal ends it.
    Interrupt,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

async fn serve(settings: Settings) -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::new()?;
    let ports = Ports::open(&settings)?;
    let pipeline = Pipeline::build(&settings);
    let workers = pipeline.forward(settings.concurrency);
    if let Some(path) = settings.limits_file.clone() {
        let mut file = LimitsFile::new(path, settings.limits);
        file.apply(&*pipeline.buffer);
        tokio::spawn(file.follow(Arc::clone(&pipeline.buffer)));
    }
    let connections = Connections::new();
    let admin = Arc::new(AdminState {
        buffer: Arc::clone(&pipeline.buffer),
        metrics: Arc::clone(&pipeline.metrics),
        hurry: pipeline.hurry(),
        open_connections: {
            let connections = connections.clone();
            Box::new(move || connections.open())
        },
        destination: describe(settings.destination.as_deref()),
        ready: AtomicBool::new(true),
    });
    tokio::spawn({
        let service = AdminService::new(Arc::clone(&admin));
        async move { Connections::new().serve(ports.admin, service).await }
    });
    tokio::spawn({
        let service =
            OtlpService::new(Arc::clone(&pipeline.receiver), settings.listen.max_request_bytes);
        let connections = connections.clone();
        async move { connections.serve(ports.otlp, service).await }
    });
    tokio::spawn(watch::losses(Arc::clone(&pipeline.buffer)));
    announce(&settings, &pipeline.buffer.status().limits);

    let stop = signals.first().await;
    admin.ready.store(false, Ordering::Release);
    let ending = end(stop, settings.drain_timeout, &pipeline, workers, &connections);
    tokio::select! {
        drained = ending => log_end(drained),
        _ = signals.first() => log_abandoned(&pipeline),
    }
    Ok(())
}

/// Accepts on while applications are connected, then asks them to go, then flushes.
///
/// A sidecar that Kubernetes ends last has no connections left and flushes at once.
async fn end(
    stop: Stop,
    drain_timeout: Duration,
    pipeline: &Pipeline,
    workers: Workers,
    connections: &Connections,
) -> Drained {
    let deadline = Instant::now() + drain_timeout;
    pipeline.buffer.flush();
    workers.hurry();
    if stop == Stop::Terminate && connections.open() > 0 {
        info!(connections = connections.open(), "stopping; accepting on while applications end");
        // Half of the time at most, so that the other half is left for the flush.
        let _ = timeout(drain_timeout / 2, connections.none_open()).await;
    }
    connections.shut_down();
    let _ = timeout(LAST_ANSWERS.min(drain_timeout / 4), connections.none_open()).await;
    let left = deadline.saturating_duration_since(Instant::now());
    drain(&*pipeline.buffer, workers, left).await
}

fn log_end(drained: Drained) {
    match drained {
        Drained::Empty => info!("ended; nothing was lost"),
        Drained::Lost(spans) => warn!(spans, "ended before everything was delivered"),
    }
}

fn log_abandoned(pipeline: &Pipeline) {
    let ledger = pipeline.buffer.status().ledger;
    match ledger.buffered + ledger.in_flight {
        0 => info!("told to stop a second time; ended, nothing was lost"),
        spans => error!(spans, "told to stop a second time; ended before these were delivered"),
    }
}

fn announce(settings: &Settings, limits: &Limits) {
    let listen = &settings.listen;
    info!(
        grpc = ?listen.grpc,
        http = ?listen.http,
        admin = ?listen.admin,
        destination = describe(settings.destination.as_deref()),
        max_spans = limits.max_spans,
        max_bytes = limits.max_bytes,
        "listening"
    );
}

/// Names the destination for people; no path, no header, no secret.
fn describe(destination: Option<&DestinationSettings>) -> String {
    destination.map_or_else(
        || "console".to_owned(),
        |settings| format!("{} ({})", settings.endpoint, settings.protocol.as_str()),
    )
}

impl Ports {
    fn open(settings: &Settings) -> Result<Self, Box<dyn Error>> {
        let listen = &settings.listen;
        let mut otlp = bind(&listen.grpc)?;
        otlp.extend(bind(&listen.http)?);
        Ok(Self { otlp, admin: bind(&listen.admin)? })
    }
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn first(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Terminate,
            _ = self.interrupt.recv() => Stop::Interrupt,
        }
    }
}
