//! Attacks on the static receiver, in a control group of exactly the memory that the operator sets,
//! with a full buffer and a destination that never answers. Prints a line for each.
//!
//! `.ci/run attacks` builds the binary and runs all of them; `just attacks heads` those whose name
//! contains `heads`, and `just attacks --quick` one of each kind. Needs root, for the control groups.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken test should say so"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "lengths of frames and figures of a report are small"
)]

mod blackhole;
mod cgroup;
mod grpc;
mod hpack;
mod http1;
mod http2;
mod kinds;
mod payload;
mod polite;
mod probe;
#[path = "../integration/support/process.rs"]
#[allow(dead_code, reason = "the integration tests use the rest")]
mod process;
mod receiver;
mod report;
#[path = "../integration/support/samples.rs"]
#[allow(dead_code, reason = "the integration tests use the rest")]
mod samples;
mod sidecar;
mod target;
mod trial;

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Handle};

use crate::payload::Bodies;
use crate::trial::{Attack, Findings};

/// The static binary.
const BINARY_VARIABLE: &str = "TRACEBUFFER_BIN";
/// How many calm attacks run at a time.
const CALM_AT_ONCE: usize = 4;

/// What to run, and which document to write the results into.
struct Plan {
    attacks: Vec<Attack>,
    /// Whether the service to the polite clients is judged too: a busy machine delays it.
    judges_service: bool,
    markdown: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Some(binary) = env::var_os(BINARY_VARIABLE).map(PathBuf::from) else {
        println!("No attack was run: `.ci/run attacks` builds the static binary that they need.");
        return ExitCode::SUCCESS;
    };
    match run(&binary) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the attacks that the arguments name, and returns how many of them did harm.
fn run(binary: &Path) -> io::Result<usize> {
    let plan = Plan::from_arguments(env::args().skip(1))?;
    if !binary.exists() {
        let binary = binary.display();
        return Err(io::Error::other(format!(
            "{BINARY_VARIABLE} is {binary}, which does not exist"
        )));
    }
    allow_many_files();
    // Of its own, so that it competes with the polite clients as another process would.
    let attackers = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let judges = Builder::new_current_thread().enable_all().build()?;
    let results = judges.block_on(run_all(&plan, binary, attackers.handle()))?;
    let failed = results.iter().filter(|(_, findings)| !findings.has_passed()).count();
    println!("\n{} passed, {failed} failed", results.len() - failed);
    if let Some(file) = &plan.markdown {
        report::write_markdown(file, &results)?;
    }
    Ok(failed)
}

async fn run_all<'a>(
    plan: &'a Plan,
    binary: &Path,
    attackers: &Handle,
) -> io::Result<Vec<(&'a Attack, Findings)>> {
    let bodies = Arc::new(Bodies::generate());
    let (calm, busy): (Vec<_>, Vec<_>) = plan.attacks.iter().partition(|attack| attack.is_calm);
    let mut results = Vec::new();
    for group in calm.chunks(CALM_AT_ONCE).chain(busy.chunks(1)) {
        let runs = group.iter().map(|attack| {
            attack.run(binary, Arc::clone(&bodies), attackers.clone(), plan.judges_service)
        });
        for (attack, findings) in group.iter().zip(join_all(runs).await) {
            let findings = findings?;
            if results.is_empty() {
                println!("{}", report::heading(findings.memory));
            }
            println!("{}", report::line(attack, &findings));
            results.push((*attack, findings));
        }
    }
    Ok(results)
}

impl Plan {
    /// Reads `[--quick] [--survival] [--markdown FILE] [FILTER…]`.
    fn from_arguments(arguments: impl Iterator<Item = String>) -> io::Result<Self> {
        let (mut filters, mut quick, mut markdown) = (Vec::new(), false, None);
        let mut judges_service = true;
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => quick = true,
                "--survival" => judges_service = false,
                "--markdown" => markdown = arguments.next().map(PathBuf::from),
                // What cargo adds.
                "--quiet" => {}
                _ => filters.push(argument),
            }
        }
        let is_chosen = |attack: &Attack| {
            let is_named = filters.iter().any(|filter| attack.name.contains(filter));
            (is_named || filters.is_empty()) && (!quick || kinds::QUICK.contains(&attack.name))
        };
        let attacks: Vec<_> = kinds::all().into_iter().filter(is_chosen).collect();
        if attacks.is_empty() {
            let names: Vec<_> = kinds::all().iter().map(|attack| attack.name).collect();
            return Err(io::Error::other(format!(
                "no such attack; there are: {}",
                names.join(" ")
            )));
        }
        Ok(Self { attacks, judges_service, markdown })
    }
}

/// Raises the limit of open files of this process, which holds the client ends of the connections.
fn allow_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("it may be raised");
}
