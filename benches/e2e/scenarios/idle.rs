//! The cost of an idle subject: memory, startup time, size.

use std::{fs, thread, time::Duration};

use super::{BenchPlan, ScenarioResults, print_progress};
use crate::kit::{
    BenchResult, process,
    report::{Samples, Table, kib_to_mib},
    subject::{Subject, SubjectSettings},
    usage::MemoryUsage,
};

const SETTLE_TIME: Duration = Duration::from_secs(1);

pub(crate) fn run(plan: &BenchPlan) -> BenchResult<ScenarioResults> {
    let starts = if plan.quick { 3 } else { 20 };
    let mut table =
        Table::new("Idle", &["subject", "start to listening ms", "RSS MiB", "binary MiB"]);
    let mut findings = ScenarioResults::default();
    for subject in &plan.subjects {
        let (mut start, mut resident) = (Samples::default(), Samples::default());
        for _ in 0..starts {
            if let Err(error) = measure(subject, &mut start, &mut resident) {
                findings.fail(format!("idle, {}: {error}", subject.name()));
            }
        }
        let size = fs::metadata(&subject.binary)?.len();
        print_progress(&format!(
            "idle {:12} {} ms {} MiB",
            subject.name(),
            start.summary(1),
            resident.summary(1)
        ));
        table.row([
            subject.name().to_owned(),
            start.summary(1),
            resident.summary(1),
            format!("{:.1}", kib_to_mib(size / 1024)),
        ]);
    }
    table.note(format!(
        "{starts} starts, from spawn to the first accepted connection; median (min-max)."
    ));
    table.note("RSS one second after that, with a limit of 32 MiB and no connection.");
    findings.tables.push(table);
    Ok(findings)
}

fn measure(subject: &Subject, start: &mut Samples, resident: &mut Samples) -> BenchResult<()> {
    let listening = subject.launch_unpinned(SubjectSettings::limited(process::free_port()?, 32))?;
    start.push(listening.startup_time.as_secs_f64() * 1e3);
    thread::sleep(SETTLE_TIME);
    resident.push(kib_to_mib(MemoryUsage::of(listening.process.pid())?.now_kib));
    Ok(())
}
