//! End to end, in processes of their own: tracebuffer and the OpenTelemetry Collector side by side.
//!
//! `cargo bench --locked --bench e2e -- --help` lists the options; `docs/benchmarks.md` describes
//! the measurements.

mod kit;
mod scenarios;

use std::{path::PathBuf, process::ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::{
    kit::{
        BenchResult, process, report,
        subject::{self, Subject, SubjectKind},
    },
    scenarios::{BenchPlan, ScenarioResults, idle, outage, paced, saturated},
};

type Scenario = fn(&BenchPlan) -> BenchResult<ScenarioResults>;

/// Idle comes first: the others bind this thread to the load core.
const SCENARIOS: [(&str, Scenario); 4] = [
    ("idle", idle::run),
    ("saturated", saturated::run),
    ("paced", paced::run),
    ("outage", outage::run),
];
const SUBJECTS: [&str; 2] = ["tracebuffer", "otelcol"];

fn main() -> ExitCode {
    let arguments = command().get_matches();
    if !arguments.get_flag("bench") {
        println!("These measurements run for minutes: start them with cargo bench.");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(failures) if failures.is_empty() => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("\n{}", failures.join("\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let path = |name: &'static str| {
        Arg::new(name).long(name).value_name("PATH").value_parser(value_parser!(PathBuf))
    };
    let core = |name: &'static str, default: &'static str| {
        Arg::new(name).long(name).default_value(default).value_parser(value_parser!(usize))
    };
    Command::new("e2e")
        .arg(
            Arg::new("scenario")
                .action(ArgAction::Append)
                .value_parser(SCENARIOS.map(|(name, _)| name))
                .help("All if none is named"),
        )
        .arg(
            Arg::new("subject")
                .long("subject")
                .action(ArgAction::Append)
                .value_parser(SUBJECTS)
                .help("Both if none is named"),
        )
        .arg(flag("quick").help("A short smoke run; its figures mean little"))
        .arg(
            Arg::new("repeats")
                .long("repeats")
                .value_parser(value_parser!(usize))
                .help("Runs of each subject, interleaved [default: 5, quick: 1]"),
        )
        .arg(
            Arg::new("case")
                .long("case")
                .default_value("")
                .hide_default_value(true)
                .help("Only cases whose name contains this, as in \"8 MiB, dead\""),
        )
        .arg(path("tracebuffer").help("The binary [default: built by cargo build --release]"))
        .arg(path("otelcol").help("The Collector [default: $OTELCOL, or tests' cached build]"))
        .arg(core("subject-core", "0"))
        .arg(core("load-core", "1").help("For generator and sink"))
        .arg(path("markdown").help("Also write the tables into this file, between its marks"))
        .arg(flag("bench").hide(true))
}

fn run(arguments: &ArgMatches) -> BenchResult<Vec<String>> {
    let plan = plan(arguments)?;
    process::disable_timer_slack()?;
    let versions: Vec<String> = plan.subjects.iter().map(Subject::version).collect();
    let machine = report::machine(&versions);
    println!("{}", machine.join("\n"));

    let mut markdown = format!("- {}\n", machine.join("\n- "));
    let mut failures = Vec::new();
    let named: Vec<&String> = arguments.get_many("scenario").unwrap_or_default().collect();
    for (name, scenario) in SCENARIOS {
        if !named.is_empty() && !named.iter().any(|wanted| *wanted == name) {
            continue;
        }
        let findings = scenario(&plan)?;
        for table in findings.tables {
            println!("{}", table.text());
            markdown.push('\n');
            markdown.push_str(&table.markdown());
        }
        failures.extend(findings.failures);
    }
    if let Some(file) = arguments.get_one::<PathBuf>("markdown") {
        report::write_section(file, "e2e", &markdown)?;
    }
    Ok(failures)
}

fn plan(arguments: &ArgMatches) -> BenchResult<BenchPlan> {
    let named: Vec<&String> = arguments.get_many("subject").unwrap_or_default().collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|wanted| *wanted == name);
    let given = |name: &str| arguments.get_one::<PathBuf>(name).cloned();
    let mut subjects = Vec::new();
    if wanted("tracebuffer") {
        let binary = given("tracebuffer").map_or_else(subject::build_tracebuffer, Ok)?;
        subjects.push(Subject { kind: SubjectKind::Tracebuffer, binary });
    }
    if wanted("otelcol") {
        let binary = given("otelcol").unwrap_or_else(subject::collector);
        if !binary.exists() {
            let path = binary.display();
            return Err(format!(
                "no Collector at {path}: name one by OTELCOL, or leave it out by --subject tracebuffer"
            )
            .into());
        }
        subjects.push(Subject { kind: SubjectKind::Collector, binary });
    }
    let quick = arguments.get_flag("quick");
    let core = |name: &str| arguments.get_one::<usize>(name).copied().unwrap_or_default();
    Ok(BenchPlan {
        subjects,
        quick,
        repeats: arguments.get_one("repeats").copied().unwrap_or(if quick { 1 } else { 5 }),
        case: arguments.get_one("case").cloned().unwrap_or_default(),
        subject_core: core("subject-core"),
        load_core: core("load-core"),
    })
}
