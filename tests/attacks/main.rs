//! Attacks on the static receiver, in a control group of exactly the memory that the operator sets,
//! with a full buffer and a destination that never answers. Prints a line for each.
//!
//! `.ci/run attacks` builds the binary and runs all of them; `just attacks heads` those whose name
//! contains `heads`. Needs root, for the control groups.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a broken test should say so")]
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
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Handle};

use crate::payload::Bodies;
use crate::trial::{Attack, Findings};

/// The static binary.
const BINARY_VARIABLE: &str = "TRACEBUFFER_BIN";
/// How many calm attacks run at a time.
const CALM_AT_ONCE: usize = 3;

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

/// Runs the attacks that the arguments name, and returns how many of them succeeded in doing harm.
fn run(binary: &std::path::Path) -> io::Result<usize> {
    let filters: Vec<String> = env::args().skip(1).filter(|each| !each.starts_with('-')).collect();
    let chosen: Vec<Attack> = kinds::all()
        .into_iter()
        .filter(|attack| {
            filters.is_empty() || filters.iter().any(|filter| attack.name.contains(filter))
        })
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = kinds::all().iter().map(|attack| attack.name).collect();
        return Err(io::Error::other(format!("no such attack; there are: {}", names.join(" "))));
    }
    allow_many_files();
    // Of its own, so that it competes with the polite clients as another process would.
    let attackers = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let judges = Builder::new_current_thread().enable_all().build()?;
    let bodies = Arc::new(Bodies::generate());
    judges.block_on(run_all(&chosen, binary, &bodies, attackers.handle()))
}

async fn run_all(
    attacks: &[Attack],
    binary: &std::path::Path,
    bodies: &Arc<Bodies>,
    attackers: &Handle,
) -> io::Result<usize> {
    let (calm, busy): (Vec<_>, Vec<_>) = attacks.iter().partition(|attack| attack.is_calm);
    let groups = calm.chunks(CALM_AT_ONCE).chain(busy.chunks(1));
    let (mut passed, mut failed) = (0, 0);
    for group in groups {
        let runs =
            group.iter().map(|attack| attack.run(binary, Arc::clone(bodies), attackers.clone()));
        for (attack, findings) in group.iter().zip(futures_util::future::join_all(runs).await) {
            let findings: Findings = findings?;
            if passed + failed == 0 {
                println!("{}", report::heading(findings.memory));
            }
            println!("{}", report::line(attack, &findings));
            if findings.has_passed() { passed += 1 } else { failed += 1 }
        }
    }
    println!("\n{passed} passed, {failed} failed");
    Ok(failed)
}

/// Raises the limit of open files of this process, which holds the client ends of the connections.
fn allow_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("it may be raised");
}
