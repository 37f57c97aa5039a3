//! Memory while the destination is unavailable and three times the limit is sent.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    BenchPlan, ScenarioResults, join,
    outage_case::{DestinationFault, OutageCase},
    print_progress, recovery,
};
use crate::kit::{
    BenchResult,
    generator::{self, Concurrency, LoadSummary},
    payload::Payload,
    process,
    report::{Table, as_f64, kib_to_mib},
    subject::{RunningSubject, Subject, SubjectKind, SubjectSettings},
    usage::{Cgroup, MemoryUsage},
};

const OFFERED_MULTIPLE: u64 = 3;
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);
/// How long memory is watched after the load.
const SETTLE_TIME: Duration = Duration::from_millis(500);
const COLLECTOR_LIMIT_MIB: u64 = 64;

/// The result of a run.
#[derive(Debug, Clone)]
struct OutageRun {
    case: OutageCase,
    peak_kib: u64,
    end_kib: u64,
    cgroup_kib: Option<u64>,
    offered: LoadSummary,
}

pub(crate) fn run(plan: &BenchPlan) -> BenchResult<ScenarioResults> {
    process::pin_this_thread(plan.load_core)?;
    let mut findings = ScenarioResults::default();
    for subject in &plan.subjects {
        let mut runs = Vec::new();
        let cases = cases(plan, subject.kind);
        for case in cases.into_iter().filter(|case| case.name().contains(&plan.case)) {
            match measure(plan, subject, case) {
                Ok((run, broken)) => {
                    runs.push(run);
                    for failure in broken {
                        findings.fail(failure);
                    }
                }
                Err(error) => {
                    let run = format!("outage, {}, {}", subject.name(), case.name());
                    findings.fail(format!("{run}: void: {error}"));
                }
            }
        }
        findings.tables.push(table(subject, &runs));
    }
    Ok(findings)
}

/// All combinations for tracebuffer; two for the Collector, whose limit is of another kind.
fn cases(plan: &BenchPlan, kind: SubjectKind) -> Vec<OutageCase> {
    let spans = [512, 1];
    if kind == SubjectKind::Collector {
        let limit_mib = COLLECTOR_LIMIT_MIB;
        let case = |spans| OutageCase {
            fault: DestinationFault::Dead,
            limit_mib,
            connections: 1,
            spans,
            gzip: false,
        };
        return spans.map(case).to_vec();
    }
    let limits: &[u64] = if plan.quick { &[8] } else { &[8, 32, 64] };
    let senders: &[(usize, bool)] = if plan.quick {
        &[(1, false), (200, true)]
    } else {
        &[(1, false), (200, false), (1, true), (200, true)]
    };
    let mut cases = Vec::new();
    for &limit_mib in limits {
        for fault in
            [DestinationFault::Dead, DestinationFault::Blackholed, DestinationFault::Stalled]
        {
            for &(connections, gzip) in senders {
                cases.extend(spans.map(|spans| OutageCase {
                    fault,
                    limit_mib,
                    connections,
                    spans,
                    gzip,
                }));
            }
        }
    }
    cases
}

fn measure(
    plan: &BenchPlan,
    subject: &Subject,
    case: OutageCase,
) -> BenchResult<(OutageRun, Vec<String>)> {
    let destination = process::free_port()?;
    let _sink = case.fault.sink(destination, plan.load_core)?;
    let setting = SubjectSettings::limited(destination, case.limit_mib);
    let listening = subject.launch(setting, plan.subject_core)?;
    let payload = if case.gzip { Payload::gzip(case.spans) } else { Payload::plain(case.spans) }?;
    let requests = (OFFERED_MULTIPLE * (case.limit_mib << 20)).div_ceil(payload.encoded_bytes());
    let shape = Concurrency { connections: case.connections, streams: 1 };
    let load = plan.run(generator::closed_loop(listening.port, shape, payload, requests, 1, None));

    let mut peak_kib = 0;
    let mut finished = None;
    while finished.is_none_or(|at: Instant| at.elapsed() < SETTLE_TIME) {
        peak_kib = peak_kib.max(MemoryUsage::of(listening.process.pid())?.now_kib);
        if finished.is_none() && load.is_finished() {
            finished = Some(Instant::now());
        }
        thread::sleep(SAMPLE_INTERVAL);
    }
    let offered = join(load)?;
    let memory = MemoryUsage::of(listening.process.pid())?;
    let run = OutageRun {
        case,
        peak_kib: peak_kib.max(memory.peak_kib),
        end_kib: memory.now_kib,
        cgroup_kib: listening.process.cgroup().and_then(Cgroup::peak_kib),
        offered,
    };
    print_progress(&format!(
        "outage {:12} {:46} {:6.1} MiB",
        subject.name(),
        case.name(),
        kib_to_mib(run.peak_kib)
    ));
    let broken = violations(plan, subject, &run, &listening, destination);
    Ok((run, broken))
}

/// The targets that this run missed; only tracebuffer has any.
fn violations(
    plan: &BenchPlan,
    subject: &Subject,
    run: &OutageRun,
    listening: &RunningSubject,
    destination: u16,
) -> Vec<String> {
    let mut broken = Vec::new();
    if subject.kind == SubjectKind::Tracebuffer {
        if run.peak_kib > run.case.allowed_kib() {
            let (peak, allowed) = (kib_to_mib(run.peak_kib), kib_to_mib(run.case.allowed_kib()));
            broken.push(format!("peak {peak:.1} MiB, allowed {allowed:.1} MiB"));
        }
        if !run.offered.refused.is_empty() {
            broken.push(format!("refused requests: {:?}", run.offered.refused));
        }
        if let Err(error) = recovery::verify(plan, run.case, &run.offered, listening, destination) {
            broken.push(error.to_string());
        }
    }
    let name = format!("outage, {}", run.case.name());
    broken.into_iter().map(|failure| format!("{name}: {failure}")).collect()
}

/// The worst run of each limit and fault.
fn table(subject: &Subject, runs: &[OutageRun]) -> Table {
    let title = format!("Outage, {}: {OFFERED_MULTIPLE} x the limit offered", subject.name());
    let mut table = Table::new(
        &title,
        &[
            "limit, fault, connections, spans: the worst",
            "peak RSS MiB",
            "allowed MiB",
            "result",
            "RSS after MiB",
            "cgroup peak MiB",
            "accepted",
        ],
    );
    let worse = |a: &&OutageRun, b: &&OutageRun| a.peak_kib.cmp(&b.peak_kib);
    let same = |a: &OutageRun, b: &OutageRun| {
        a.case.limit_mib == b.case.limit_mib && a.case.fault == b.case.fault
    };
    for group in runs.chunk_by(same) {
        if let Some(worst) = group.iter().max_by(worse) {
            table.row(row(subject, worst));
        }
    }
    table.note(format!("{} runs; RSS every 20 ms, and the kernel's own peak.", runs.len()));
    if subject.kind == SubjectKind::Collector {
        table.note("Its limit is memory_limiter's limit_mib, on the heap, checked every 100 ms.");
    }
    table
}

fn row(subject: &Subject, run: &OutageRun) -> [String; 7] {
    let allowed = run.case.allowed_kib();
    let passed = if run.peak_kib <= allowed { "pass" } else { "fail" };
    let ours = subject.kind == SubjectKind::Tracebuffer;
    let share = as_f64(run.offered.accepted) / as_f64(run.offered.spans.max(1));
    [
        run.case.name(),
        format!("{:.1}", kib_to_mib(run.peak_kib)),
        if ours { format!("{:.1}", kib_to_mib(allowed)) } else { "-".to_owned() },
        if ours { passed.to_owned() } else { "-".to_owned() },
        format!("{:.1}", kib_to_mib(run.end_kib)),
        run.cgroup_kib
            .map_or("not available here".to_owned(), |kib| format!("{:.1}", kib_to_mib(kib))),
        format!("{:.1} %", share * 100.0),
    ]
}
