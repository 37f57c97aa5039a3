//! `tracebuffer analyze`.

mod report;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use self::report::{FileOutcome, FileReport, Report};
use super::input_file::InputFile;
use crate::adapters::kubernetes::analysis;

/// The name of the subcommand.
pub(super) const NAME: &str = "analyze";

/// The exit code if there are errors.
const EXIT_ERRORS: u8 = 1;

const AFTER_HELP: &str = "\
Objects of other kinds are ignored.

Exit code: 0 if there are no errors, warnings aside; 1 if there are errors or a file cannot be read.";

/// The arguments of `tracebuffer analyze`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnalyzeArgs {
    files: Vec<InputFile>,
    as_json: bool,
}

/// Describes the subcommand.
pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Reports errors and doubtful values in TraceBuffers, without a cluster")
        .after_help(AFTER_HELP)
        .arg(
            Arg::new("file")
                .short('f')
                .long("filename")
                .value_name("FILE")
                .value_parser(value_parser!(OsString))
                .action(ArgAction::Append)
                .required(true)
                .help("File in YAML or JSON; - for standard input; may be repeated"),
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("text|json")
                .value_parser(["text", "json"])
                .default_value("text")
                .help("Output format"),
        )
}

/// Reads the flags.
pub(super) fn parse(flags: &ArgMatches) -> AnalyzeArgs {
    let files = flags.get_many::<OsString>("file").into_iter().flatten();
    AnalyzeArgs {
        files: files.map(|name| InputFile(name.into())).collect(),
        as_json: flags.get_one::<String>("output").is_some_and(|output| output == "json"),
    }
}

/// Analyzes the files and prints the report.
pub(super) fn run(arguments: &AnalyzeArgs) -> ExitCode {
    let report = Report { files: arguments.files.iter().map(analyze_file).collect() };
    let text = if arguments.as_json { report.to_json() } else { report.to_string() };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) if !report.has_errors() => ExitCode::SUCCESS,
        _ => EXIT_ERRORS.into(),
    }
}

fn analyze_file(file: &InputFile) -> FileReport {
    let outcome = match file.read(&mut io::stdin()) {
        Ok(text) => match analysis::analyze(&text) {
            Ok(analysis) => FileOutcome::Analyzed(analysis),
            Err(error) => FileOutcome::Unreadable(error.to_string()),
        },
        Err(error) => FileOutcome::Unreadable(format!("cannot be read: {error}")),
    };
    FileReport { name: file.to_string(), outcome }
}
