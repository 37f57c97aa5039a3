//! User instructions of the whole receiver, per span and per request, compared with a server that
//! decodes with prost. Callgrind counts them, so other load on the machine does not matter.
//!
//! Needs `valgrind`. Each count is the difference between a run with twice the requests and a run
//! with the requests, so that startup and shutdown cancel out. See `docs/benchmarks.md`.

#[path = "e2e/kit/mod.rs"]
#[expect(dead_code, reason = "shared with the end to end benchmark, which uses the rest")]
mod kit;

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tonic::transport::{Server, server::TcpIncoming};

use crate::kit::{
    BenchResult,
    generator::{self, Concurrency},
    payload::Payload,
    process::{self, Program},
    report::{self, Table},
    subject::{Subject, SubjectKind, SubjectSettings},
};

/// Valgrind is 20 to 50 times slower than the machine.
const STARTUP_TIMEOUT: Duration = Duration::from_mins(1);
const CONCURRENCY: Concurrency = Concurrency { connections: 1, streams: 1 };
const CASES: [InstructionCase; 2] = [
    InstructionCase { spans: 512, requests: 60, max_instructions: 3_000.0, unit: "span" },
    InstructionCase { spans: 1, requests: 3_000, max_instructions: 46_000.0, unit: "request" },
];
const MIN_RATIO: f64 = 8.0;

#[derive(Debug, Clone, Copy)]
struct InstructionCase {
    spans: usize,
    requests: u64,
    /// The target, in instructions per span or request.
    max_instructions: f64,
    unit: &'static str,
}

#[derive(Debug, Clone)]
enum MeasuredReceiver {
    Tracebuffer(PathBuf),
    /// This program again, as a tonic server that decodes each request and drops it.
    Prost,
}

/// Decodes, as tonic does for every generated service, and keeps nothing.
struct DiscardingService;

#[tonic::async_trait]
impl TraceService for DiscardingService {
    async fn export(
        &self,
        _request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

fn main() -> ExitCode {
    let arguments = command().get_matches();
    let outcome = match arguments.get_one::<u16>("serve-prost") {
        Some(&port) => serve_prost(port),
        None if arguments.get_flag("bench") => run(&arguments),
        None => {
            println!("These measurements run for minutes: start them with cargo bench.");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let path = |name: &'static str| {
        Arg::new(name).long(name).value_name("PATH").value_parser(value_parser!(PathBuf))
    };
    Command::new("instructions")
        .arg(path("tracebuffer").help("The binary [default: the one cargo built beside this]"))
        .arg(path("markdown").help("Also write the table into this file, between its marks"))
        .arg(path("keep").help("Keep what callgrind writes in this directory"))
        .arg(Arg::new("bench").long("bench").action(ArgAction::SetTrue).hide(true))
        .arg(
            Arg::new("serve-prost").long("serve-prost").value_parser(value_parser!(u16)).hide(true),
        )
}

fn run(arguments: &ArgMatches) -> BenchResult<()> {
    let ours = arguments.get_one::<PathBuf>("tracebuffer").cloned();
    let ours =
        MeasuredReceiver::Tracebuffer(ours.unwrap_or(env!("CARGO_BIN_EXE_tracebuffer").into()));
    let keep = arguments.get_one::<PathBuf>("keep").map(PathBuf::as_path);
    let mut table = Table::new(
        "User instructions of ingest, gRPC, uncompressed",
        &["spans a request", "per", "tracebuffer", "target", "prost server", "prost/ours"],
    );
    let mut missed = Vec::new();
    for case in CASES {
        let (ours, prost) = (case.count(&ours, keep)?, case.count(&MeasuredReceiver::Prost, keep)?);
        let ratio = prost / ours;
        table.row([
            case.spans.to_string(),
            case.unit.to_owned(),
            format!("{ours:.0}"),
            format!("{:.0}", case.max_instructions),
            format!("{prost:.0}"),
            format!("{ratio:.2}x"),
        ]);
        if ours > case.max_instructions || (case.spans > 1 && ratio < MIN_RATIO) {
            missed.push(format!("missed at {} spans a request", case.spans));
        }
    }
    table.note("One connection, one request at a time; nothing is sent on, nothing evicted.");
    table.note("(I(2n) - I(n)) / n requests, callgrind's count of the whole process.");
    println!("{}", table.text());
    if let Some(file) = arguments.get_one::<PathBuf>("markdown") {
        let versions =
            [format!("Valgrind: {}", report::first_output_line("valgrind", &["--version"]))];
        let machine = report::machine(&versions).join("\n- ");
        report::write_section(
            file,
            "instructions",
            &format!("- {machine}\n\n{}", table.markdown()),
        )?;
    }
    if missed.is_empty() { Ok(()) } else { Err(missed.join("\n").into()) }
}

impl InstructionCase {
    /// Instructions per span or per request, whichever the case asks for.
    fn count(&self, receiver: &MeasuredReceiver, keep: Option<&Path>) -> BenchResult<f64> {
        let once = receiver.instructions(self.spans, self.requests, keep)?;
        let twice = receiver.instructions(self.spans, 2 * self.requests, keep)?;
        let units = self.requests * self.spans as u64;
        eprintln!("  {} spans a request, {}: {once}, {twice}", self.spans, receiver.name());
        Ok(report::as_f64(twice.saturating_sub(once)) / report::as_f64(units))
    }
}

impl MeasuredReceiver {
    fn name(&self) -> &'static str {
        match self {
            Self::Tracebuffer(_) => "tracebuffer",
            Self::Prost => "prost",
        }
    }

    /// Instructions of a process that starts, receives `requests` requests, and ends.
    fn instructions(&self, spans: usize, requests: u64, keep: Option<&Path>) -> BenchResult<u64> {
        let files = tempfile::tempdir()?;
        let (plain, port) = self.program(files.path())?;
        let name = format!("callgrind.{}.{spans}x{requests}", self.name());
        let counts = keep.unwrap_or(files.path()).join(name);
        let mut arguments = vec![
            "--tool=callgrind".to_owned(),
            format!("--callgrind-out-file={}", counts.display()),
            plain.path.display().to_string(),
        ];
        arguments.extend(plain.arguments);
        let program = Program { path: "valgrind".into(), arguments, ..plain };
        let mut process = program.start_on(0)?;
        process.wait_for_port(port, STARTUP_TIMEOUT)?;

        let payload = Payload::plain(spans)?;
        let expected = requests * payload.spans();
        let load = generator::closed_loop(port, CONCURRENCY, payload, requests, 1, None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let offered = runtime.block_on(load)?;
        if offered.accepted != expected {
            return Err(format!("accepted {} of {expected} spans", offered.accepted).into());
        }
        rustix::process::kill_process(process.pid(), rustix::process::Signal::TERM)?;
        read_callgrind_total(&program.log)
    }

    fn program(&self, files: &Path) -> BenchResult<(Program, u16)> {
        match self {
            Self::Tracebuffer(binary) => {
                let subject = Subject { kind: SubjectKind::Tracebuffer, binary: binary.clone() };
                let dead = SubjectSettings::roomy(process::free_port()?);
                let (mut program, port, _) = subject.program(dead, files)?;
                // There is no destination: do not wait for the buffer to drain.
                let drain = ("TRACEBUFFER_DRAIN_TIMEOUT".to_owned(), "100ms".to_owned());
                program.environment.push(drain);
                Ok((program, port))
            }
            Self::Prost => {
                let port = process::free_port()?;
                let arguments = vec!["--serve-prost".to_owned(), port.to_string()];
                let (path, log) = (std::env::current_exe()?, files.join("log"));
                Ok((Program { path, arguments, environment: Vec::new(), log }, port))
            }
        }
    }
}

/// The total that callgrind writes when its program ends.
fn read_callgrind_total(log: &Path) -> BenchResult<u64> {
    let start = Instant::now();
    while start.elapsed() < STARTUP_TIMEOUT {
        let text = fs::read_to_string(log)?;
        let total = text.lines().find_map(|line| line.split_once("Collected : "));
        if let Some((_, total)) = total {
            return Ok(total.trim().parse()?);
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err("callgrind reports no count".into())
}

fn serve_prost(port: u16) -> BenchResult<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let incoming = TcpIncoming::bind(address)?.with_nodelay(Some(true));
        let service = TraceServiceServer::new(DiscardingService);
        Ok(Server::builder().add_service(service).serve_with_incoming(incoming).await?)
    })
}
