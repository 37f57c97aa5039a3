//! What a subject costs that has nothing to do: memory, start, size.

use std::{fs, thread, time::Duration};

use super::{Findings, Plan, say};
use crate::kit::{
    Outcome, process,
    report::{Samples, Table, mib},
    subject::{Setting, Subject},
    usage::Memory,
};

const SETTLE: Duration = Duration::from_secs(1);

pub(crate) fn run(plan: &Plan) -> Outcome<Findings> {
    let starts = if plan.quick { 3 } else { 20 };
    let mut table =
        Table::new("Idle", &["subject", "start to listening ms", "RSS MiB", "binary MiB"]);
    let mut findings = Findings::default();
    for subject in &plan.subjects {
        let (mut start, mut resident) = (Samples::default(), Samples::default());
        for _ in 0..starts {
            if let Err(error) = measure(subject, &mut start, &mut resident) {
                findings.fail(format!("idle, {}: {error}", subject.name()));
            }
        }
        let size = fs::metadata(&subject.binary)?.len();
        say(&format!("idle {:12} {} ms {} MiB", subject.name(), start.show(1), resident.show(1)));
        table.row([
            subject.name().to_owned(),
            start.show(1),
            resident.show(1),
            format!("{:.1}", mib(size / 1024)),
        ]);
    }
    table.note(format!(
        "{starts} starts, from spawn to the first accepted connection; median (min-max)."
    ));
    table.note("RSS one second after that, with a limit of 32 MiB and no connection.");
    findings.tables.push(table);
    Ok(findings)
}

fn measure(subject: &Subject, start: &mut Samples, resident: &mut Samples) -> Outcome<()> {
    let listening = subject.launch_bare(Setting::limited(process::free_port()?, 32))?;
    start.push(listening.took.as_secs_f64() * 1e3);
    thread::sleep(SETTLE);
    resident.push(mib(Memory::of(listening.process.pid())?.now_kib));
    Ok(())
}
