//! The programs that are measured, each started with the settings of the scenario.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    BenchResult,
    process::{self, Program, RunningProcess},
    report,
};

const STARTUP_TIMEOUT: Duration = Duration::from_secs(20);
/// The Collector's `memory_limiter` in runs without losses.
pub(crate) const ROOMY_MIB: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubjectKind {
    Tracebuffer,
    Collector,
}

/// A program that receives and forwards OTLP.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) kind: SubjectKind,
    pub(crate) binary: PathBuf,
}

/// The settings that a subject is started with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubjectSettings {
    /// Port of 127.0.0.1 to which it forwards over gRPC, uncompressed.
    pub(crate) destination: u16,
    pub(crate) max_bytes: u64,
    pub(crate) max_spans: u64,
    /// The Collector has no limit in bytes, only this one on its heap.
    pub(crate) memory_limit_mib: u64,
}

/// A subject that listens.
#[derive(Debug)]
pub(crate) struct RunningSubject {
    pub(crate) process: RunningProcess,
    pub(crate) port: u16,
    /// Where it serves `/ready` and `/metrics`.
    pub(crate) admin_port: Option<u16>,
    /// From its start to the first connection it accepted.
    pub(crate) startup_time: Duration,
    _files: TempDir,
}

impl SubjectSettings {
    /// Limits that a subject which keeps up never reaches.
    pub(crate) fn roomy(destination: u16) -> Self {
        Self {
            destination,
            max_bytes: 256 << 20,
            max_spans: 4_000_000,
            memory_limit_mib: ROOMY_MIB,
        }
    }

    /// Limits of `mib` MiB, and as many spans as fit.
    pub(crate) fn limited(destination: u16, mib: u64) -> Self {
        Self { destination, max_bytes: mib << 20, max_spans: 10_000_000, memory_limit_mib: mib }
    }
}

impl Subject {
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            SubjectKind::Tracebuffer => "tracebuffer",
            SubjectKind::Collector => "otelcol",
        }
    }

    pub(crate) fn version(&self) -> String {
        let binary = self.binary.display().to_string();
        let size = fs::metadata(&self.binary).map_or(0, |metadata| metadata.len());
        let size = report::kib_to_mib(size / 1024);
        match self.kind {
            SubjectKind::Tracebuffer => {
                let commit = report::first_output_line("git", &["rev-parse", "--short", "HEAD"]);
                let version = env!("CARGO_PKG_VERSION");
                format!("tracebuffer: {version} at {commit}, binary {size:.1} MiB")
            }
            SubjectKind::Collector => {
                let version = report::first_output_line(&binary, &["--version"]);
                format!("OpenTelemetry Collector: {version}, binary {size:.1} MiB")
            }
        }
    }

    /// Starts it on `core` and waits until it is ready.
    pub(crate) fn launch(
        &self,
        setting: SubjectSettings,
        core: usize,
    ) -> BenchResult<RunningSubject> {
        self.start(setting, |program| program.start_on(core))
    }

    /// The same on any core, started directly.
    pub(crate) fn launch_unpinned(&self, setting: SubjectSettings) -> BenchResult<RunningSubject> {
        self.start(setting, Program::start)
    }

    fn start(
        &self,
        setting: SubjectSettings,
        start: impl FnOnce(&Program) -> BenchResult<RunningProcess>,
    ) -> BenchResult<RunningSubject> {
        let files = tempfile::tempdir()?;
        let (program, port, admin_port) = self.program(setting, files.path())?;
        let spawned = Instant::now();
        let mut process = start(&program)?;
        process
            .wait_for_port(port, STARTUP_TIMEOUT)
            .map_err(|error| format!("{} is not ready: {error}", self.name()))?;
        Ok(RunningSubject {
            process,
            port,
            admin_port,
            startup_time: spawned.elapsed(),
            _files: files,
        })
    }

    /// How it is started, the port on which it receives, and the one of its metrics.
    pub(crate) fn program(
        &self,
        setting: SubjectSettings,
        files: &Path,
    ) -> BenchResult<(Program, u16, Option<u16>)> {
        let port = process::free_port()?;
        let (arguments, environment, admin_port) = match self.kind {
            SubjectKind::Tracebuffer => {
                let (http, admin) = (process::free_port()?, process::free_port()?);
                let environment = tracebuffer_environment(setting, port, http, admin);
                (vec!["receiver".to_owned()], environment, Some(admin))
            }
            SubjectKind::Collector => {
                let config = files.join("otelcol.yaml");
                fs::write(&config, collector_config(setting, port))?;
                (vec![format!("--config={}", config.display())], Vec::new(), None)
            }
        };
        let log = files.join("log");
        let program = Program { path: self.binary.clone(), arguments, environment, log };
        Ok((program, port, admin_port))
    }
}

impl RunningSubject {
    /// Its metrics page, if it has one.
    pub(crate) fn metrics(&self) -> BenchResult<Option<String>> {
        self.admin_port.map(|port| process::get(port, "/metrics")).transpose()
    }
}

fn tracebuffer_environment(
    setting: SubjectSettings,
    grpc: u16,
    http: u16,
    admin: u16,
) -> Vec<(String, String)> {
    [
        ("ENDPOINT", format!("http://127.0.0.1:{}", setting.destination)),
        ("GRPC_ADDR", format!("127.0.0.1:{grpc}")),
        ("HTTP_ADDR", format!("127.0.0.1:{http}")),
        ("ADMIN_ADDR", format!("127.0.0.1:{admin}")),
        ("MAX_BYTES", setting.max_bytes.to_string()),
        ("MAX_SPANS", setting.max_spans.to_string()),
    ]
    .map(|(name, value)| (format!("TRACEBUFFER_{name}"), value))
    .to_vec()
}

/// As its documentation recommends for production, without its own metrics, which would only cost
/// CPU.
fn collector_config(setting: SubjectSettings, port: u16) -> String {
    let SubjectSettings { destination, memory_limit_mib, .. } = setting;
    format!(
        "receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{port}'}}}}}}
processors:
  memory_limiter: {{check_interval: 100ms, limit_mib: {memory_limit_mib}}}
  batch: {{send_batch_size: 8192, timeout: 200ms}}
exporters:
  otlp_grpc:
    endpoint: 127.0.0.1:{destination}
    compression: none
    tls: {{insecure: true}}
    sending_queue: {{enabled: true, queue_size: 1000}}
    retry_on_failure: {{enabled: true, max_elapsed_time: 0s}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp_grpc]}}
"
    )
}

/// The release binary of this project, built by cargo if it is not up to date.
pub(crate) fn build_tracebuffer() -> BenchResult<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let root = env!("CARGO_MANIFEST_DIR");
    let arguments = ["build", "--release", "--locked", "--bin", "tracebuffer"];
    let built = Command::new(cargo).args(arguments).current_dir(root).status()?;
    if !built.success() {
        return Err("cargo build --release failed".into());
    }
    // This program is in <target>/release/deps.
    let here = std::env::current_exe()?;
    let release = here.ancestors().nth(2).ok_or("this program is in no target directory")?;
    Ok(release.join("tracebuffer"))
}

/// The Collector that `OTELCOL` names, or the one that the interoperability tests built.
pub(crate) fn collector() -> PathBuf {
    let home = std::env::var_os("HOME").unwrap_or_default();
    std::env::var_os("OTELCOL")
        .map_or_else(|| Path::new(&home).join(".cache/tracebuffer-otelcol/otelcol"), PathBuf::from)
}
