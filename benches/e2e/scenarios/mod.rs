//! The scenarios, one file each.

pub(crate) mod idle;
pub(crate) mod outage;
mod outage_case;
pub(crate) mod paced;
mod recovery;
pub(crate) mod saturated;

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::kit::{BenchResult, process, report::Table, subject::Subject};

/// A load that takes longer means that a subject no longer responds.
const LOAD_TIMEOUT: Duration = Duration::from_mins(2);

/// The scenarios' subjects, settings and cores.
#[derive(Debug, Clone)]
pub(crate) struct BenchPlan {
    pub(crate) subjects: Vec<Subject>,
    /// A short run that shows whether everything works; its figures mean little.
    pub(crate) quick: bool,
    pub(crate) repeats: usize,
    /// Only the cases whose name contains this, of scenarios that have several.
    pub(crate) case: String,
    pub(crate) subject_core: usize,
    /// For the generator, the sink and this program.
    pub(crate) load_core: usize,
}

/// The results of a scenario.
#[derive(Debug, Default)]
pub(crate) struct ScenarioResults {
    pub(crate) tables: Vec<Table>,
    /// Targets that tracebuffer missed, and void runs.
    pub(crate) failures: Vec<String>,
}

impl ScenarioResults {
    /// Prints a failure at once, since the run may take more minutes, and keeps it for the end.
    fn fail(&mut self, failure: String) {
        print_progress(&failure);
        self.failures.push(failure);
    }
}

impl BenchPlan {
    /// Every subject once per repeat, in turn, so that other load on the machine affects all alike.
    fn interleaved(&self) -> impl Iterator<Item = (usize, &Subject)> {
        (0..self.repeats).flat_map(|_| self.subjects.iter().enumerate())
    }

    /// Runs a load in a thread of its own on the load core.
    fn run<T: Send + 'static>(
        &self,
        load: impl Future<Output = BenchResult<T>> + Send + 'static,
    ) -> JoinHandle<BenchResult<T>> {
        let core = self.load_core;
        thread::spawn(move || {
            process::pin_this_thread(core)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let limited = tokio::time::timeout(LOAD_TIMEOUT, load).await;
                limited.map_err(|_| format!("the load took longer than {LOAD_TIMEOUT:?}"))?
            })
        })
    }
}

fn join<T>(load: JoinHandle<BenchResult<T>>) -> BenchResult<T> {
    load.join().map_err(|_| "the generator panicked")?
}

/// Shows progress on the terminal, where a run takes minutes.
fn print_progress(line: &str) {
    eprintln!("  {line}");
}
