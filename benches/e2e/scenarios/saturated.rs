//! CPU per span at full load: a closed loop, with every span verified at the sink.

use std::time::{Duration, Instant};

use super::{BenchPlan, ScenarioResults, join, print_progress};
use crate::kit::{
    BenchResult,
    generator::{self, Backlog, Concurrency},
    payload::Payload,
    process,
    report::{Samples, Table, as_f64, kib_to_mib, ratio},
    sink::{Sink, SinkBehavior, Tally},
    subject::{RunningSubject, Subject, SubjectKind, SubjectSettings},
    usage::{CpuTime, MemoryUsage},
};

/// Spans between generator and sink at most: 8 of the Collector's batches, 28 MiB.
const BACKLOG_SPANS: u64 = 65_536;
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
struct SaturatedCase {
    spans: usize,
    shape: Concurrency,
    requests: u64,
}

#[derive(Debug, Default, Clone)]
struct Figures {
    nanos_per_span: Samples,
    micros_per_request: Samples,
    spans_per_second: Samples,
    peak_mib: Samples,
}

const CASES: [SaturatedCase; 4] = [
    SaturatedCase {
        spans: 512,
        shape: Concurrency { connections: 1, streams: 1 },
        requests: 2_000,
    },
    SaturatedCase {
        spans: 512,
        shape: Concurrency { connections: 4, streams: 4 },
        requests: 2_000,
    },
    SaturatedCase { spans: 1, shape: Concurrency { connections: 1, streams: 1 }, requests: 60_000 },
    SaturatedCase {
        spans: 1,
        shape: Concurrency { connections: 4, streams: 4 },
        requests: 120_000,
    },
];

pub(crate) fn run(plan: &BenchPlan) -> BenchResult<ScenarioResults> {
    process::pin_this_thread(plan.load_core)?;
    let mut findings = ScenarioResults::default();
    let mut table = Table::new(
        "Saturated, gRPC in and out, uncompressed",
        &[
            "spans a request, connections x streams",
            "subject",
            "CPU ns/span",
            "CPU us/request",
            "1,000 spans/s",
            "peak RSS MiB",
            "otelcol/ours",
        ],
    );
    for case in CASES.into_iter().filter(|case| case.name().contains(&plan.case)) {
        let requests = if plan.quick { case.requests / 10 } else { case.requests };
        let mut figures = vec![Figures::default(); plan.subjects.len()];
        for (at, subject) in plan.interleaved() {
            let case = SaturatedCase { requests, ..case };
            let Some(figures) = figures.get_mut(at) else { continue };
            if let Err(error) = measure(plan, subject, case, figures) {
                let name = subject.name();
                findings.fail(format!("saturated, {name}, {}: void: {error}", case.name()));
            }
        }
        add_rows(&mut table, plan, case, &figures);
    }
    table.note(
        "Closed loop; every run's spans were counted at the sink, runs with a loss are void.",
    );
    table.note(
        "CPU of all threads of the subject, until the sink has everything; median (min-max).",
    );
    findings.tables.push(table);
    Ok(findings)
}

fn add_rows(table: &mut Table, plan: &BenchPlan, case: SaturatedCase, all: &[Figures]) {
    let of = |kind| plan.subjects.iter().zip(all).find(|(subject, _)| subject.kind == kind);
    let ratio = of(SubjectKind::Collector)
        .zip(of(SubjectKind::Tracebuffer))
        .and_then(|((_, theirs), (_, ours))| ratio(&theirs.nanos_per_span, &ours.nanos_per_span));
    for (subject, figures) in plan.subjects.iter().zip(all) {
        let ratio = ratio.filter(|_| subject.kind == SubjectKind::Tracebuffer);
        table.row([
            case.name(),
            subject.name().to_owned(),
            figures.nanos_per_span.summary(0),
            figures.micros_per_request.summary(1),
            figures.spans_per_second.summary(0),
            figures.peak_mib.summary(1),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x")),
        ]);
    }
}

impl SaturatedCase {
    fn name(&self) -> String {
        format!("{}, {}x{}", self.spans, self.shape.connections, self.shape.streams)
    }
}

fn measure(
    plan: &BenchPlan,
    subject: &Subject,
    case: SaturatedCase,
    figures: &mut Figures,
) -> BenchResult<()> {
    let sink = Sink::start(process::free_port()?, SinkBehavior::Respond, plan.load_core)?;
    let listening = subject.launch(SubjectSettings::roomy(sink.port()), plan.subject_core)?;
    let pid = listening.process.pid();
    let warm_up = (case.requests / 10).max(1);
    offer(plan, &listening, &sink, case, warm_up)?;
    sink.reset();

    let (start, before) = (Instant::now(), CpuTime::of(pid)?);
    let spans = offer(plan, &listening, &sink, case, case.requests)?;
    let (elapsed, cpu) = (start.elapsed(), CpuTime::of(pid)?.since(&before));

    let nanos = cpu.as_secs_f64() * 1e9;
    figures.nanos_per_span.push(nanos / as_f64(spans));
    figures.micros_per_request.push(nanos / 1e3 / as_f64(case.requests));
    figures.spans_per_second.push(as_f64(spans) / elapsed.as_secs_f64() / 1e3);
    figures.peak_mib.push(kib_to_mib(MemoryUsage::of(pid)?.peak_kib));
    print_progress(&format!(
        "saturated {:12} {:12} {:7.0} ns/span {:7.2} us/request",
        case.name(),
        subject.name(),
        nanos / as_f64(spans),
        nanos / 1e3 / as_f64(case.requests)
    ));
    Ok(())
}

/// Sends `requests` requests and returns their spans, once each of them arrived exactly once.
fn offer(
    plan: &BenchPlan,
    listening: &RunningSubject,
    sink: &Sink,
    case: SaturatedCase,
    requests: u64,
) -> BenchResult<u64> {
    let backlog = Backlog { arrived: sink.arrived(), limit: BACKLOG_SPANS };
    let payload = Payload::plain(case.spans)?;
    let spans = requests * payload.spans();
    let load =
        generator::closed_loop(listening.port, case.shape, payload, requests, 1, Some(backlog));
    let offered = join(plan.run(load))?;
    if offered.accepted != spans {
        return Err(format!(
            "accepted {} of {spans} spans {:?}",
            offered.accepted, offered.refused
        )
        .into());
    }
    check_all_arrived(&sink.wait_for(spans, ARRIVAL_TIMEOUT), spans)?;
    Ok(spans)
}

/// Checks that the spans 1 to `spans` arrived, each once.
pub(super) fn check_all_arrived(tally: &Tally, spans: u64) -> BenchResult<()> {
    if tally.malformed > 0 {
        return Err(format!("{} unreadable requests at the sink", tally.malformed).into());
    }
    if tally.spans != spans {
        return Err(format!("{} of {spans} spans at the sink", tally.spans).into());
    }
    if tally.sum != (spans * (spans + 1)) / 2 {
        return Err("other spans at the sink than were sent".into());
    }
    Ok(())
}
