//! Findings as text in columns, or as JSON.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use clap::{Arg, ArgMatches, builder::PossibleValuesParser};
use serde_json::json;

use crate::adapters::kubernetes::diagnosis::{Finding, FindingState, worst_state};

/// Maximum width of the column of names; the message of a longer name is not aligned.
const MAX_NAME_WIDTH: usize = 32;
const STATE_WIDTH: usize = 7;
const RESET: &str = "\u{1b}[0m";
const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum OutputFormat {
    Text { colours: bool },
    Json,
}

/// Returns the flag for the output format.
pub(super) fn flag() -> Arg {
    Arg::new("output")
        .long("output")
        .short('o')
        .value_name("FORMAT")
        .default_value("text")
        .value_parser(PossibleValuesParser::new(["text", "json"]))
        .help("Output format")
}

impl OutputFormat {
    /// Reads the flag. Colours are for terminals, unless `no_colour` (the variable `NO_COLOR`) is set.
    pub(super) fn from_flags(flags: &ArgMatches, no_colour: bool) -> Self {
        match flags.get_one::<String>("output").map(String::as_str) {
            Some("json") => Self::Json,
            _ => Self::Text { colours: !no_colour && io::stdout().is_terminal() },
        }
    }

    /// Prints findings to standard output.
    pub(super) fn print(self, findings: &[Finding]) {
        let text = match self {
            Self::Json => render_json(findings),
            Self::Text { colours } => render_text(findings, colours),
        };
        // A reader that closed the output does not want the rest.
        let _ = io::stdout().write_all(text.as_bytes());
    }
}

fn render_json(findings: &[Finding]) -> String {
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": worst_state(findings),
        "findings": findings,
    });
    format!("{report:#}\n")
}

fn render_text(findings: &[Finding], colours: bool) -> String {
    let paint = |colour: &str, text: &str| {
        if colours { format!("{colour}{text}{RESET}") } else { text.to_owned() }
    };
    let names = findings.iter().map(|finding| finding.name.chars().count());
    let width = names.filter(|width| *width <= MAX_NAME_WIDTH).max().unwrap_or_default();
    let mut text = String::new();
    let mut section = "";
    for finding in findings {
        if finding.section != section {
            section = finding.section;
            let gap = if text.is_empty() { "" } else { "\n" };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{gap}{}", paint(BOLD, section));
        }
        let state = finding.state.as_str();
        let (name, message) = (&finding.name, &finding.message);
        let state = paint(colour(finding.state), &format!("{state:STATE_WIDTH$}"));
        let _ = writeln!(text, "  {state}  {name:width$}  {message}");
        if let Some(remedy) = &finding.remedy {
            let indent = STATE_WIDTH + width + 6;
            let _ = writeln!(text, "{:indent$}{}", "", paint(DIM, &format!("→ {remedy}")));
        }
    }
    text
}

const fn colour(state: FindingState) -> &'static str {
    match state {
        FindingState::Ok => "\u{1b}[32m",
        FindingState::Skipped => DIM,
        FindingState::Warning => "\u{1b}[33m",
        FindingState::Failed => "\u{1b}[31m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> [Finding; 3] {
        let finding = |section, name: &str, state, remedy: Option<&str>| Finding {
            section,
            name: name.to_owned(),
            state,
            message: format!("about {name}"),
            remedy: remedy.map(str::to_owned),
        };
        [
            finding("Cluster", "version", FindingState::Ok, None),
            finding("Cluster", "crd", FindingState::Failed, Some("install it")),
            finding("Pods", "missing", FindingState::Warning, Some("recreate them")),
        ]
    }

    #[test]
    fn findings_are_aligned_in_columns_under_their_section() {
        let expected = "\
Cluster
  ok       version  about version
  failed   crd      about crd
                    → install it

Pods
  warning  missing  about missing
                    → recreate them
";
        assert_eq!(render_text(&findings(), false), expected);
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = render_text(&findings(), true);
        let mut plain = coloured.clone();
        for colour in [
            RESET,
            BOLD,
            DIM,
            colour(FindingState::Ok),
            colour(FindingState::Warning),
            colour(FindingState::Failed),
        ] {
            assert!(plain.contains(colour), "{colour:?}");
            plain = plain.replace(colour, "");
        }
        assert_eq!(plain, render_text(&findings(), false));
    }

    #[test]
    fn machines_get_the_worst_state_and_all_findings() {
        let report: serde_json::Value = serde_json::from_str(&render_json(&findings())).unwrap();

        assert_eq!(report["state"], "failed");
        assert_eq!(report["findings"][1]["remedy"], "install it");
        assert_eq!(report["findings"].as_array().unwrap().len(), 3);
    }
}
