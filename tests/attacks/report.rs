//! One line per attack, aligned, and the same as a table of Markdown.

use std::path::Path;
use std::{fs, io};

use crate::trial::{Attack, Findings};

const MIB: f64 = (1 << 20) as f64;

/// The heads of the columns of [`line`].
pub(crate) fn heading(memory: u64) -> String {
    format!(
        "Memory of each receiver: {:.0} MiB. MiB: peak of the control group; sockets; VmHWM; heap.\n\
         Share of requests served, p50 and p99 in ms, of a client that keeps its connection and of new \
         ones.\n\n\
         {:6} {:<24} {:>5} {:>5} {:>5} {:>5}  {:>6} {:>5} {:>6}  {:>6} {:>5} {:>6}  {:>5}",
        memory as f64 / MIB,
        "",
        "attack",
        "peak",
        "sock",
        "HWM",
        "heap",
        "kept",
        "p50",
        "p99",
        "new",
        "p50",
        "p99",
        "live"
    )
}

/// One attack in one line, and its faults in further ones.
pub(crate) fn line(attack: &Attack, findings: &Findings) -> String {
    let verdict = if findings.has_passed() { "ok" } else { "FAILED" };
    let mut line = format!("{verdict:6} {:<24} {}", attack.name, columns(findings).join(" "));
    for fault in &findings.faults {
        line.push_str("\n         ");
        line.push_str(fault);
    }
    line
}

fn columns(findings: &Findings) -> Vec<String> {
    let mib = |bytes: u64| format!("{:5.1}", bytes as f64 / MIB);
    let mut columns = vec![
        mib(findings.peak.total),
        mib(findings.peak.sockets),
        mib(findings.resident.most),
        mib(findings.resident.anonymous),
    ];
    for tally in [&findings.kept, &findings.new] {
        columns.push(format!(" {:5.1}%", 100.0 * tally.served()));
        columns.push(format!("{:5}", tally.percentile(0.5).as_millis()));
        columns.push(format!("{:6}", tally.percentile(0.99).as_millis()));
    }
    columns.push(format!(" {:5}", findings.liveness.slowest.as_millis()));
    columns
}

/// Writes the results between the marks of a document.
pub(crate) fn write_markdown(file: &Path, results: &[(&Attack, Findings)]) -> io::Result<()> {
    const BEGIN: &str = "<!-- attacks -->\n";
    const END: &str = "<!-- /attacks -->\n";
    let old = fs::read_to_string(file)?;
    let parts =
        old.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        return Err(io::Error::other(format!("{} has no mark {BEGIN}", file.display())));
    };
    let mut table = String::from(
        "| attack | what the attackers do | peak | sockets | VmHWM | heap | kept: served | p50 | p99 | \
         new: served | p50 | p99 | `/live` | |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for (attack, findings) in results {
        let verdict = if findings.has_passed() { "" } else { "**failed**" };
        let columns: Vec<_> = columns(findings).iter().map(|text| text.trim().to_owned()).collect();
        let (name, what, figures) = (attack.name, attack.what, columns.join(" | "));
        table.extend(["| ", name, " | ", what, " | ", &figures, " | ", verdict, " |\n"]);
    }
    fs::write(file, format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}
