//! Acknowledgement latency at a steady rate: an open loop, timed from when a request was due.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{BenchPlan, ScenarioResults, join, print_progress, saturated::check_all_arrived};
use crate::kit::{
    BenchResult, generator,
    payload::Payload,
    process,
    report::{Samples, Table, as_f64, kib_to_mib, ratio},
    sink::{Sink, SinkBehavior},
    subject::{Subject, SubjectKind, SubjectSettings},
    usage::{CpuTime, MemoryUsage},
};

const INTERVAL: Duration = Duration::from_millis(1);
const STREAMS: usize = 8;
const WARM_UP: Duration = Duration::from_secs(2);
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(5);
/// A run is disturbed if the generator was later than this at p99.
const DISTURBED_MILLIS: f64 = 1.0;
/// The quantiles of a row; the last is the maximum.
const QUANTILES: [f64; 4] = [0.5, 0.99, 0.999, 1.0];

#[derive(Debug, Default, Clone)]
struct Figures {
    /// In milliseconds, by quantile.
    latency: [Samples; QUANTILES.len()],
    lateness: Samples,
    disturbed: usize,
    micros_per_request: Samples,
    peak_mib: Samples,
}

pub(crate) fn run(plan: &BenchPlan) -> BenchResult<ScenarioResults> {
    process::pin_this_thread(plan.load_core)?;
    let duration = Duration::from_secs(if plan.quick { 3 } else { 20 });
    let mut findings = ScenarioResults::default();
    let mut figures = vec![Figures::default(); plan.subjects.len()];
    for (at, subject) in plan.interleaved() {
        let Some(figures) = figures.get_mut(at) else { continue };
        if let Err(error) = measure(plan, subject, duration, figures) {
            findings.fail(format!("paced, {}: void: {error}", subject.name()));
        }
    }
    findings.tables.push(table(plan, duration, &figures));
    Ok(findings)
}

fn table(plan: &BenchPlan, duration: Duration, all: &[Figures]) -> Table {
    let mut table = Table::new(
        "Paced, 1,000 single-span requests/s over 8 streams, open loop",
        &[
            "subject",
            "ack p50 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
            "CPU us/request",
            "peak RSS MiB",
            "generator late p99 ms",
        ],
    );
    for (subject, figures) in plan.subjects.iter().zip(all) {
        let mut row = vec![subject.name().to_owned()];
        row.extend(figures.latency.iter().map(|quantile| quantile.summary(3)));
        row.push(figures.micros_per_request.summary(1));
        row.push(figures.peak_mib.summary(1));
        row.push(figures.lateness.summary(3));
        table.row(row);
    }
    table.note(format!(
        "{} s a run, latency from the scheduled time; median (min-max) of the runs.",
        duration.as_secs()
    ));
    let disturbed: usize = all.iter().map(|figures| figures.disturbed).sum();
    if disturbed > 0 {
        table.note(format!(
            "In {disturbed} runs the generator itself was over {DISTURBED_MILLIS} ms late at p99: \
             something else used the machine, and latencies above p50 mean little."
        ));
    }
    let cpu = |kind| {
        let mut both = plan.subjects.iter().zip(all);
        both.find(|(subject, _)| subject.kind == kind)
            .map(|(_, figures)| &figures.micros_per_request)
    };
    let both = cpu(SubjectKind::Collector).zip(cpu(SubjectKind::Tracebuffer));
    if let Some(ratio) = both.and_then(|(theirs, ours)| ratio(theirs, ours)) {
        table.note(format!("CPU per request, otelcol/ours: {ratio:.2}x."));
    }
    table
}

fn measure(
    plan: &BenchPlan,
    subject: &Subject,
    duration: Duration,
    figures: &mut Figures,
) -> BenchResult<()> {
    let sink = Sink::start(process::free_port()?, SinkBehavior::Respond, plan.load_core)?;
    let listening = subject.launch(SubjectSettings::roomy(sink.port()), plan.subject_core)?;
    let pid = listening.process.pid();
    let offer = |duration| -> BenchResult<generator::OpenLoopResult> {
        sink.reset();
        let load = generator::open_loop(
            listening.port,
            STREAMS,
            Payload::plain(1)?,
            INTERVAL,
            duration,
            1,
        );
        let paced = join(plan.run(load))?;
        if paced.offered.accepted != paced.offered.spans {
            return Err(format!("refused: {:?}", paced.offered.refused).into());
        }
        check_all_arrived(
            &sink.wait_for(paced.offered.spans, ARRIVAL_TIMEOUT),
            paced.offered.spans,
        )?;
        Ok(paced)
    };
    offer(WARM_UP)?;
    let before = CpuTime::of(pid)?;
    let paced = offer(duration)?;
    let cpu = CpuTime::of(pid)?.since(&before);

    for (samples, quantile) in figures.latency.iter_mut().zip(QUANTILES) {
        samples.push(millis(&paced.latency, quantile));
    }
    let lateness = millis(&paced.lateness, 0.99);
    figures.lateness.push(lateness);
    figures.disturbed += usize::from(lateness > DISTURBED_MILLIS);
    let micros = cpu.as_secs_f64() * 1e6 / as_f64(paced.offered.requests);
    figures.micros_per_request.push(micros);
    figures.peak_mib.push(kib_to_mib(MemoryUsage::of(pid)?.peak_kib));
    let shown = QUANTILES.map(|quantile| format!("{:.3}", millis(&paced.latency, quantile)));
    print_progress(&format!(
        "paced {:12} {} ms {micros:6.1} us/request",
        subject.name(),
        shown.join(" / ")
    ));
    Ok(())
}

fn millis(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    as_f64(histogram.value_at_quantile(quantile)) / 1e3
}
