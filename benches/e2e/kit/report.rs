//! Tables, aligned for the terminal and as markdown.

use std::{fmt::Write, fs, path::Path, process::Command};

use super::BenchResult;

/// A titled table of text cells.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    title: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

/// Repeated measurements of one quantity.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Table {
    pub(crate) fn new(title: &str, header: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            header: header.iter().map(|&cell| cell.to_owned()).collect(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Aligned columns, the first to the left, numbers to the right.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("\n{}\n", self.title);
        let widths = self.widths();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width - cell.chars().count());
                let (before, after) = if column == 0 { ("", &*padding) } else { (&*padding, "") };
                // Writing to a String cannot fail.
                let _ = write!(text, "{before}{cell}{after}  ");
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }

    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> = (0..self.header.len())
            .map(|at| if at == 0 { "---" } else { "--:" }.to_owned())
            .collect();
        let mut text = format!("### {}\n\n{}{}", self.title, line(&self.header), line(&rule));
        for row in &self.rows {
            text.push_str(&line(row));
        }
        text.push('\n');
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let rows = || std::iter::once(&self.header).chain(&self.rows);
        let width =
            |at: usize| rows().filter_map(move |row| row.get(at)).map(|cell| cell.chars().count());
        (0..self.header.len()).map(|at| width(at).max().unwrap_or(0)).collect()
    }
}

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let (low, high) =
            (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
        Some(low.midpoint(*high))
    }

    /// `median (min-max)`, or a dash.
    pub(crate) fn summary(&self, decimals: usize) -> String {
        let sorted = self.sorted();
        match (self.median(), sorted.first(), sorted.last()) {
            (Some(only), Some(_), Some(_)) if sorted.len() == 1 => format!("{only:.decimals$}"),
            (Some(median), Some(min), Some(max)) => {
                format!("{median:.decimals$} ({min:.decimals$}-{max:.decimals$})")
            }
            _ => "-".to_owned(),
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// `theirs / ours` by their medians.
pub(crate) fn ratio(theirs: &Samples, ours: &Samples) -> Option<f64> {
    Some(theirs.median()? / ours.median()?)
}

/// A count as a floating-point number; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "measurements are far below 2^53")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

pub(crate) fn kib_to_mib(kib: u64) -> f64 {
    as_f64(kib) / 1024.0
}

/// The machine and the versions of the programs, one line each.
pub(crate) fn machine(versions: &[String]) -> Vec<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = || cpu.lines().filter_map(|line| line.strip_prefix("model name"));
    let model =
        models().next().map_or("unknown CPU", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    let mut lines = vec![
        format!(
            "Machine: {} x {model}, {:.0} GiB",
            models().count(),
            kib_to_mib(total.unwrap_or(0)) / 1024.0
        ),
        format!("Kernel: {}", first_output_line("uname", &["-srm"])),
        format!("Compiler: {}", first_output_line("rustc", &["--version"])),
    ];
    lines.extend_from_slice(versions);
    lines
}

/// The first line a program prints.
pub(crate) fn first_output_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.ok()
        .and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or("unknown".to_owned())
}

/// Puts `text` between the lines `<!-- name -->` and `<!-- /name -->` of the file, or at its end.
pub(crate) fn write_section(file: &Path, name: &str, text: &str) -> BenchResult<()> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let old = fs::read_to_string(file).unwrap_or_default();
    let parts =
        old.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.unwrap_or((&old, ""));
    Ok(fs::write(file, format!("{before}{begin}\n{}\n\n{end}{after}", text.trim()))?)
}
