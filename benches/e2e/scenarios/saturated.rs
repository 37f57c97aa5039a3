//! CPU per span at full load: a closed loop, with every span verified at the sink.

use std::time::{Duration, Instant};

use super::{Findings, Plan, join, say};
use crate::kit::{
    Outcome,
    generator::{self, Backlog, Shape},
    payload::Payload,
    process,
    report::{Samples, Table, mib, number, ratio},
    sink::{Manner, Sink, Tally},
    subject::{Kind, Listening, Setting, Subject},
    usage::{CpuTime, Memory},
};

/// Spans between generator and sink at most: 8 of the Collector's batches, 28 MiB.
const BACKLOG_SPANS: u64 = 65_536;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
struct Case {
    spans: usize,
    shape: Shape,
    requests: u64,
}

#[derive(Debug, Default, Clone)]
struct Figures {
    nanos_per_span: Samples,
    micros_per_request: Samples,
    spans_per_second: Samples,
    peak_mib: Samples,
}

const CASES: [Case; 4] = [
    Case { spans: 512, shape: Shape { connections: 1, streams: 1 }, requests: 2_000 },
    Case { spans: 512, shape: Shape { connections: 4, streams: 4 }, requests: 2_000 },
    Case { spans: 1, shape: Shape { connections: 1, streams: 1 }, requests: 60_000 },
    Case { spans: 1, shape: Shape { connections: 4, streams: 4 }, requests: 120_000 },
];

pub(crate) fn run(plan: &Plan) -> Outcome<Findings> {
    process::pin_this_thread(plan.load_core)?;
    let mut findings = Findings::default();
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
            let case = Case { requests, ..case };
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

fn add_rows(table: &mut Table, plan: &Plan, case: Case, all: &[Figures]) {
    let of = |kind| plan.subjects.iter().zip(all).find(|(subject, _)| subject.kind == kind);
    let ratio = of(Kind::Collector)
        .zip(of(Kind::Tracebuffer))
        .and_then(|((_, theirs), (_, ours))| ratio(&theirs.nanos_per_span, &ours.nanos_per_span));
    for (subject, figures) in plan.subjects.iter().zip(all) {
        let ratio = ratio.filter(|_| subject.kind == Kind::Tracebuffer);
        table.row([
            case.name(),
            subject.name().to_owned(),
            figures.nanos_per_span.show(0),
            figures.micros_per_request.show(1),
            figures.spans_per_second.show(0),
            figures.peak_mib.show(1),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x")),
        ]);
    }
}

impl Case {
    fn name(&self) -> String {
        format!("{}, {}x{}", self.spans, self.shape.connections, self.shape.streams)
    }
}

fn measure(plan: &Plan, subject: &Subject, case: Case, figures: &mut Figures) -> Outcome<()> {
    let sink = Sink::start(process::free_port()?, Manner::Answer, plan.load_core)?;
    let listening = subject.launch(Setting::roomy(sink.port()), plan.subject_core)?;
    let pid = listening.process.pid();
    let warm_up = (case.requests / 10).max(1);
    offer(plan, &listening, &sink, case, warm_up)?;
    sink.reset();

    let (start, before) = (Instant::now(), CpuTime::of(pid)?);
    let spans = offer(plan, &listening, &sink, case, case.requests)?;
    let (elapsed, cpu) = (start.elapsed(), CpuTime::of(pid)?.since(&before));

    let nanos = cpu.as_secs_f64() * 1e9;
    figures.nanos_per_span.push(nanos / number(spans));
    figures.micros_per_request.push(nanos / 1e3 / number(case.requests));
    figures.spans_per_second.push(number(spans) / elapsed.as_secs_f64() / 1e3);
    figures.peak_mib.push(mib(Memory::of(pid)?.peak_kib));
    say(&format!(
        "saturated {:12} {:12} {:7.0} ns/span {:7.2} us/request",
        case.name(),
        subject.name(),
        nanos / number(spans),
        nanos / 1e3 / number(case.requests)
    ));
    Ok(())
}

/// Sends `requests` requests and returns their spans, once each of them arrived exactly once.
fn offer(
    plan: &Plan,
    listening: &Listening,
    sink: &Sink,
    case: Case,
    requests: u64,
) -> Outcome<u64> {
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
    all_arrived(&sink.wait_for(spans, PATIENCE), spans)?;
    Ok(spans)
}

/// Whether the spans 1 to `spans` arrived, each once.
pub(super) fn all_arrived(tally: &Tally, spans: u64) -> Outcome<()> {
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
