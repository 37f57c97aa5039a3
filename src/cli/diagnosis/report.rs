//! Findings as text in columns, or as JSON.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use clap::{Arg, ArgMatches, builder::PossibleValuesParser};
use serde_json::json;

use crate::adapters::kubernetes::diagnosis::{Finding, State, worst};

/// Widest column of names; longer ones push their message to the right.
const WIDEST_NAME: usize = 32;
const WIDTH_OF_STATE: usize = 7;
const RESET: &str = "\u{1b}[0m";
const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Output {
    Text { colours: bool },
    Json,
}

/// Describes the flag.
pub(super) fn flag() -> Arg {
    Arg::new("output")
        .long("output")
        .short('o')
        .value_name("FORMAT")
        .default_value("text")
        .value_parser(PossibleValuesParser::new(["text", "json"]))
        .help("How findings are printed")
}

impl Output {
    /// Reads the flag. Colours are for terminals, unless `no_colour` (the variable `NO_COLOR`) is set.
    pub(super) fn of(flags: &ArgMatches, no_colour: bool) -> Self {
        match flags.get_one::<String>("output").map(String::as_str) {
            Some("json") => Self::Json,
            _ => Self::Text { colours: !no_colour && io::stdout().is_terminal() },
        }
    }

    /// Prints findings to standard output.
    pub(super) fn print(self, findings: &[Finding]) {
        let text = match self {
            Self::Json => in_json(findings),
            Self::Text { colours } => in_text(findings, colours),
        };
        // Whoever closed the output has seen enough.
        let _ = io::stdout().write_all(text.as_bytes());
    }
}

fn in_json(findings: &[Finding]) -> String {
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": worst(findings),
        "findings": findings,
    });
    format!("{report:#}\n")
}

fn in_text(findings: &[Finding], colours: bool) -> String {
    let paint = |colour: &str, text: &str| {
        if colours { format!("{colour}{text}{RESET}") } else { text.to_owned() }
    };
    let names = findings.iter().map(|finding| finding.name.chars().count());
    let width = names.filter(|width| *width <= WIDEST_NAME).max().unwrap_or_default();
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
        let state = paint(colour(finding.state), &format!("{state:WIDTH_OF_STATE$}"));
        let _ = writeln!(text, "  {state}  {name:width$}  {message}");
        if let Some(remedy) = &finding.remedy {
            let indent = WIDTH_OF_STATE + width + 6;
            let _ = writeln!(text, "{:indent$}{}", "", paint(DIM, &format!("→ {remedy}")));
        }
    }
    text
}

const fn colour(state: State) -> &'static str {
    match state {
        State::Ok => "\u{1b}[32m",
        State::Skipped => DIM,
        State::Warning => "\u{1b}[33m",
        State::Failed => "\u{1b}[31m",
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
            finding("Cluster", "version", State::Ok, None),
            finding("Cluster", "crd", State::Failed, Some("install it")),
            finding("Pods", "without", State::Warning, Some("create them anew")),
        ]
    }

    #[test]
    fn findings_stand_in_columns_under_their_section() {
        let expected = "\
Cluster
  ok       version  about version
  failed   crd      about crd
                    → install it

Pods
  warning  without  about without
                    → create them anew
";
        assert_eq!(in_text(&findings(), false), expected);
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = in_text(&findings(), true);
        let mut plain = coloured.clone();
        for colour in
            [RESET, BOLD, DIM, colour(State::Ok), colour(State::Warning), colour(State::Failed)]
        {
            assert!(plain.contains(colour), "{colour:?}");
            plain = plain.replace(colour, "");
        }
        assert_eq!(plain, in_text(&findings(), false));
    }

    #[test]
    fn machines_get_the_worst_state_and_all_findings() {
        let report: serde_json::Value = serde_json::from_str(&in_json(&findings())).unwrap();

        assert_eq!(report["state"], "failed");
        assert_eq!(report["findings"][1]["remedy"], "install it");
        assert_eq!(report["findings"].as_array().unwrap().len(), 3);
    }
}
