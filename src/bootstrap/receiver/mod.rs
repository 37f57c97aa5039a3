//! The receiver: listen, buffer and forward until a stop signal arrives.

mod end_of_drain;
mod limits_file;
mod loss_reporter;
mod pipeline;
pub mod settings;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Duration, Instant, timeout};
use tracing::{error, info, warn};

use self::end_of_drain::PodTermination;
use self::limits_file::LimitsFile;
use self::loss_reporter::LossReporter;
use self::pipeline::{Pipeline, Workers};
use self::settings::ReceiverSettings;
use super::process;
use super::signals::{StopSignal, StopSignals};
use super::watchdog::watch_runtime;
use crate::adapters::blocking::run_within;
use crate::adapters::final_ledger;
use crate::adapters::messaging::destination::config::DestinationSettings;
use crate::adapters::messaging::notation::doubt::doubt;
use crate::adapters::messaging::otlp::OtlpService;
use crate::adapters::server::{HttpServer, PortLimits, bind};
use crate::adapters::telemetry::admin_server::AdminService;
use crate::adapters::telemetry::logging;
use crate::adapters::telemetry::receiver::admin::AdminState;
use crate::adapters::telemetry::receiver::termination_message;
use crate::application::drain::{DrainOutcome, ForwardingWorkers, drain};
use crate::domain::limits::BufferLimits;
use crate::domain::run_summary::RunSummary;
use crate::ports::buffer::TraceBufferPort;

/// How long open requests may take once the shutdown of their connections has begun.
const CONNECTION_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a process that hangs may take to say so.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs a receiver until a stop signal arrives. Fails if a port cannot be opened, or the system
/// denies another resource that is needed.
#[must_use]
pub fn run(settings: ReceiverSettings) -> ExitCode {
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
    grpc: Vec<TcpListener>,
    http: Vec<TcpListener>,
    admin: Vec<TcpListener>,
}

async fn serve(settings: ReceiverSettings) -> Result<(), Box<dyn Error>> {
    let mut signals = StopSignals::new()?;
    let termination_message_file = settings.termination_message_file.clone();
    watch_runtime(move || end_hung(termination_message_file))?;
    let ports = Listeners::open(&settings)?;
    let pipeline = Pipeline::build(&settings);
    let workers = pipeline.spawn_workers(settings.concurrency);
    if let Some(path) = settings.limits_file.clone() {
        let mut file = LimitsFile::new(path, settings.limits);
        file.reload(&*pipeline.buffer).await;
        tokio::spawn(file.poll(Arc::clone(&pipeline.buffer)));
    }
    let termination = Arc::new(PodTermination::default());
    let connections = HttpServer::new();
    let admin = Arc::new(AdminState {
        buffer: Arc::clone(&pipeline.buffer),
        metrics: Arc::clone(&pipeline.metrics),
        flush: {
            let (flush, termination) = (pipeline.flush_trigger(), Arc::clone(&termination));
            Box::new(move || {
                termination.note_flush();
                flush();
            })
        },
        open_connections: {
            let connections = connections.clone();
            Box::new(move || connections.open_connections())
        },
        destination: describe_destination(settings.destination.as_deref()),
        ready: AtomicBool::new(true),
    });
    tokio::spawn({
        let service = AdminService::new(Arc::clone(&admin));
        async move { HttpServer::new().serve(PortLimits::ADMIN, ports.admin, service).await }
    });
    let otlp = OtlpService::new(
        Arc::clone(&pipeline.receiver),
        Arc::clone(&pipeline.metrics),
        settings.listen.max_request_bytes,
        settings.listen.cors_allowed_origins.clone(),
    );
    let limits = PortLimits { max_head_bytes: settings.listen.max_head_bytes, ..PortLimits::OTLP };
    for listeners in [ports.grpc, ports.http] {
        let (connections, service) = (connections.clone(), otlp.clone());
        tokio::spawn(async move { connections.serve(limits, listeners, service).await });
    }
    let losses = Arc::new(LossReporter::new(Arc::clone(&pipeline.buffer)));
    tokio::spawn({
        let losses = Arc::clone(&losses);
        async move { losses.run().await }
    });
    log_listening(&settings, &pipeline.buffer.status().limits);

    let stop = signals.next().await;
    admin.ready.store(false, Ordering::Release);
    let deadline = termination.end_of_drain(settings.drain_timeout, settings.grace_period);
    let ending = shut_down(stop, deadline, &pipeline, workers, &connections);
    let how = tokio::select! {
        _ = ending => "ended",
        _ = signals.next() => "second stop signal: ended at once",
    };
    losses.report();
    log_end(how, &pipeline.summary(), &settings.termination_message_file);
    Ok(())
}

/// Keeps accepting while applications are connected, then shuts down their connections, then
/// drains the buffer.
///
/// A sidecar that Kubernetes stops last has no connections left and drains immediately.
async fn shut_down(
    stop: StopSignal,
    deadline: Instant,
    pipeline: &Pipeline,
    workers: Workers,
    connections: &HttpServer,
) -> DrainOutcome {
    let time = deadline.saturating_duration_since(Instant::now());
    pipeline.buffer.stop_lingering();
    workers.begin_drain();
    if stop == StopSignal::Terminate && connections.open_connections() > 0 {
        info!(
            connections = connections.open_connections(),
            "stopping; still accepting until the applications have closed their connections"
        );
        // At most half of the time, so that the other half is left for the drain.
        let _ = timeout(time / 2, connections.all_closed()).await;
    }
    connections.shut_down();
    let _ = timeout(CONNECTION_DRAIN_TIMEOUT.min(time / 4), connections.all_closed()).await;
    let left = deadline.saturating_duration_since(Instant::now());
    drain(&*pipeline.buffer, workers, left).await
}

/// Ends the process because its runtime hangs. Waits for nothing that may hang as well.
fn end_hung(termination_message_file: PathBuf) {
    run_within(END_TIMEOUT, move || {
        let sentence = "the receiver has hung for a minute: ended, to be restarted; what was \
                        buffered is lost";
        error!("{sentence}");
        termination_message::write(&termination_message_file, sentence);
        logging::flush();
    });
    process::exit_hung()
}

/// Logs what became of the spans, and leaves their numbers to Kubernetes.
fn log_end(how: &str, summary: &RunSummary, termination_message_file: &Path) {
    let ledger = final_ledger::to_message(&summary.final_ledger());
    termination_message::write(termination_message_file, &ledger);
    logging::sum_up();
    let sentence = format!("{how}; {summary}");
    if summary.lost() > 0 {
        error!("{sentence}");
    } else if summary.turned_away > 0 {
        warn!("{sentence}");
    } else {
        info!("{sentence}");
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
        Ok(Self {
            grpc: bind(&listen.grpc)?,
            http: bind(&listen.http)?,
            admin: bind(&listen.admin)?,
        })
    }
}
