//! After an outage: the ledger is balanced, and the newest spans arrive in order.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    BenchPlan,
    outage_case::{DestinationFault, OutageCase},
};
use crate::kit::{
    BenchResult,
    generator::LoadSummary,
    sink::{Sink, SinkBehavior, Tally},
    subject::RunningSubject,
};

/// Longer than the longest pause between two attempts to send.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(90);

/// The counts of spans that tracebuffer reports as accepted, and of their outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ledger {
    accepted: u64,
    sent: u64,
    rejected: u64,
    dropped: u64,
    buffered: u64,
    in_flight: u64,
}

impl Ledger {
    fn read(listening: &RunningSubject) -> BenchResult<Self> {
        let page = listening.metrics()?.ok_or("no metrics to read the ledger from")?;
        Ok(Self {
            accepted: sum(&page, "tracebuffer_receiver_accepted_spans_total")?,
            sent: sum(&page, "tracebuffer_exporter_sent_spans_total")?,
            rejected: sum(&page, "tracebuffer_exporter_rejected_spans_total")?,
            dropped: sum(&page, "tracebuffer_dropped_spans_total")?,
            buffered: sum(&page, "tracebuffer_buffer_spans")?,
            in_flight: sum(&page, "tracebuffer_exporter_in_flight_spans")?,
        })
    }

    fn check(&self, offered: &LoadSummary) -> BenchResult<()> {
        let known = self.sent + self.rejected + self.dropped + self.buffered + self.in_flight;
        if self.accepted == known && self.accepted == offered.accepted {
            return Ok(());
        }
        Err(format!("the ledger is wrong: {} acknowledged, {self:?}", offered.accepted).into())
    }
}

/// Checks the ledger of a subject after the load, and starts a destination that was dead.
pub(super) fn verify(
    plan: &BenchPlan,
    case: OutageCase,
    offered: &LoadSummary,
    listening: &RunningSubject,
    destination: u16,
) -> BenchResult<()> {
    Ledger::read(listening)?.check(offered)?;
    if case.fault != DestinationFault::Dead {
        return Ok(());
    }
    let sink = Sink::start(destination, SinkBehavior::Respond, plan.load_core)?;
    let ledger = wait_until_empty(listening)?;
    ledger.check(offered)?;
    let tally = sink.tally();
    if tally.spans != ledger.sent || tally.malformed > 0 {
        return Err(format!("sent {} spans, but at the sink: {tally:?}", ledger.sent).into());
    }
    // Compressed requests are all identical, and those of many connections overtake each other.
    if case.gzip || case.connections > 1 { Ok(()) } else { newest_in_order(&tally, offered.spans) }
}

fn wait_until_empty(listening: &RunningSubject) -> BenchResult<Ledger> {
    let start = Instant::now();
    loop {
        let ledger = Ledger::read(listening)?;
        if ledger.buffered + ledger.in_flight == 0 {
            return Ok(ledger);
        }
        if start.elapsed() > DRAIN_TIMEOUT {
            return Err(format!("not empty {DRAIN_TIMEOUT:?} after the outage: {ledger:?}").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Checks that the spans arrived in order and end with the newest, and that only a batch in flight
/// outlived newer spans: at most a quarter of the spans that arrived.
fn newest_in_order(tally: &Tally, offered: u64) -> BenchResult<()> {
    let unbroken = (tally.last + 1).saturating_sub(tally.unbroken_from);
    let newest = tally.spans > 0 && tally.last == offered && unbroken * 4 >= tally.spans * 3;
    if newest && tally.out_of_order == 0 {
        return Ok(());
    }
    Err(format!("of the spans 1 to {offered} not the newest arrived, in order: {tally:?}").into())
}

/// The sum of a metric over all its labels.
fn sum(page: &str, name: &str) -> BenchResult<u64> {
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next())?
    });
    let values: Vec<u64> = values.map(str::parse).collect::<Result<_, _>>()?;
    if values.is_empty() {
        Err(format!("no metric {name}").into())
    } else {
        Ok(values.iter().sum())
    }
}
