//! The receiver: listen, buffer and forward until a stop signal arrives.

mod limits_file;
mod loss_reporter;
mod pipeline;
pub mod settings;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Duration, Instant, timeout};
use tracing::{error, info, warn};

use self::limits_file::LimitsFile;
use self::pipeline::{Pipeline, Workers};
use self::settings::ReceiverSettings;
use super::process;
use crate::adapters::messaging::destination::config::DestinationSettings;
use crate::adapters::messaging::notation::doubt::doubt;
use crate::adapters::messaging::otlp::OtlpService;
use crate::adapters::server::{HttpServer, bind};
use crate::adapters::telemetry::admin_server::AdminService;
use crate::adapters::telemetry::logging;
use crate::adapters::telemetry::receiver::admin::AdminState;
use crate::application::drain::{DrainOutcome, ForwardingWorkers, drain};
use crate::domain::limits::BufferLimits;
use crate::ports::buffer::TraceBufferPort;

/// How long open requests may take once the shutdown of their connections has begun.
const CONNECTION_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs a receiver until a stop signal arrives. Fails if a port cannot be opened, or the system
/// denies another resource that is needed.
#[must_use]
pub fn run(settings: ReceiverSettings) -> ExitCode {
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

/// The bound listeners.
struct Listeners {
    otlp: Vec<TcpListener>,
    admin: Vec<TcpListener>,
}

/// Why the receiver stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StopSignal {
    /// SIGTERM, from Kubernetes or a supervisor; applications may still have something to send.
    Terminate,
    /// SIGINT, from a person at a terminal.
    Interrupt,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

async fn serve(settings: ReceiverSettings) -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::new()?;
    let ports = Listeners::open(&settings)?;
    let pipeline = Pipeline::build(&settings);
    let workers = pipeline.spawn_workers(settings.concurrency);
    if let Some(path) = settings.limits_file.clone() {
        let mut file = LimitsFile::new(path, settings.limits);
        file.reload(&*pipeline.buffer);
        tokio::spawn(file.poll(Arc::clone(&pipeline.buffer)));
    }
    let connections = HttpServer::new();
    let admin = Arc::new(AdminState {
        buffer: Arc::clone(&pipeline.buffer),
        metrics: Arc::clone(&pipeline.metrics),
        begin_drain: pipeline.drain_trigger(),
        open_connections: {
            let connections = connections.clone();
            Box::new(move || connections.open_connections())
        },
        destination: describe_destination(settings.destination.as_deref()),
        ready: AtomicBool::new(true),
    });
    tokio::spawn({
        let service = AdminService::new(Arc::clone(&admin));
        async move { HttpServer::new().serve(ports.admin, service).await }
    });
    tokio::spawn({
        let service = OtlpService::new(
            Arc::clone(&pipeline.receiver),
            Arc::clone(&pipeline.metrics),
            settings.listen.max_request_bytes,
        );
        let connections = connections.clone();
        async move { connections.serve(ports.otlp, service).await }
    });
    tokio::spawn(loss_reporter::run(Arc::clone(&pipeline.buffer)));
    log_listening(&settings, &pipeline.buffer.status().limits);

    let stop = signals.next().await;
    admin.ready.store(false, Ordering::Release);
    let ending = shut_down(stop, settings.drain_timeout, &pipeline, workers, &connections);
    tokio::select! {
        drained = ending => log_drain_outcome(drained),
        _ = signals.next() => log_forced_exit(&pipeline),
    }
    Ok(())
}

/// Keeps accepting while applications are connected, then shuts down their connections, then
/// drains the buffer.
///
/// A sidecar that Kubernetes stops last has no connections left and drains immediately.
async fn shut_down(
    stop: StopSignal,
    drain_timeout: Duration,
    pipeline: &Pipeline,
    workers: Workers,
    connections: &HttpServer,
) -> DrainOutcome {
    let deadline = Instant::now() + drain_timeout;
    pipeline.buffer.flush();
    workers.begin_drain();
    if stop == StopSignal::Terminate && connections.open_connections() > 0 {
        info!(
            connections = connections.open_connections(),
            "stopping; still accepting until the applications have closed their connections"
        );
        // At most half of the time, so that the other half is left for the drain.
        let _ = timeout(drain_timeout / 2, connections.all_closed()).await;
    }
    connections.shut_down();
    let _ =
        timeout(CONNECTION_DRAIN_TIMEOUT.min(drain_timeout / 4), connections.all_closed()).await;
    let left = deadline.saturating_duration_since(Instant::now());
    drain(&*pipeline.buffer, workers, left).await
}

fn log_drain_outcome(drained: DrainOutcome) {
    match drained {
        DrainOutcome::Empty => info!("ended; nothing was lost"),
        DrainOutcome::Lost(spans) => warn!(spans, "ended before everything was delivered"),
    }
}

fn log_forced_exit(pipeline: &Pipeline) {
    let ledger = pipeline.buffer.status().ledger;
    match ledger.buffered + ledger.in_flight {
        0 => info!("second stop signal; exiting immediately, nothing was lost"),
        spans => error!(spans, "second stop signal; exiting before these spans were delivered"),
    }
}

fn log_listening(settings: &ReceiverSettings, limits: &BufferLimits) {
    let doubt = settings.destination.as_deref().and_then(|to| doubt(&to.endpoint, to.protocol));
    if let Some(why) = doubt {
        warn!("the endpoint {why}");
    }
    let listen = &settings.listen;
    info!(
        grpc = ?listen.grpc,
        http = ?listen.http,
        admin = ?listen.admin,
        destination = describe_destination(settings.destination.as_deref()),
        max_spans = limits.max_spans,
        max_bytes = limits.max_bytes,
        "listening"
    );
}

/// Describes the destination for logs and status, without its path or headers, which may hold
/// secrets.
fn describe_destination(destination: Option<&DestinationSettings>) -> String {
    destination.map_or_else(
        || "console".to_owned(),
        |settings| {
            let proxy = settings.proxy.as_ref();
            let through = proxy.map_or_else(String::new, |proxy| format!(" through {proxy}"));
            format!("{} ({}){through}", settings.endpoint, settings.protocol.as_str())
        },
    )
}

impl Listeners {
    fn open(settings: &ReceiverSettings) -> Result<Self, Box<dyn Error>> {
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

    async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}
