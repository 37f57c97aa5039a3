//! `tracebuffer check` and `tracebuffer explain`: looking at a cluster.

pub(super) mod check;
mod client;
pub(super) mod explain;
mod report;

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

/// The exit code when something is wrong.
const EXIT_FAILED: u8 = 1;
/// Longest time for all of it.
const OVERALL_TIMEOUT: Duration = Duration::from_mins(2);
/// A person who waits longer than this is told what for.
const PROGRESS_DELAY: Duration = Duration::from_secs(1);

/// Does `work`; says on a terminal that it goes on, and on standard error why it could not be done.
fn run(work: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    let done = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(with_timeout(work)));
    done.unwrap_or_else(|why| {
        // With nowhere to print to, the exit code alone must do.
        let _ = writeln!(io::stderr(), "tracebuffer: {why}");
        EXIT_FAILED.into()
    })
}

async fn with_timeout<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late =
        || Err(format!("the cluster did not respond within {} s", OVERALL_TIMEOUT.as_secs()));
    let work = timeout(OVERALL_TIMEOUT, work);
    tokio::pin!(work);
    let done = tokio::select! {
        done = &mut work => done,
        () = show_progress() => work.await,
    };
    done.unwrap_or_else(|_| late())
}

/// Ends once a person has been told; never where nobody looks.
async fn show_progress() {
    if !io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    sleep(PROGRESS_DELAY).await;
    // The next line overwrites it.
    let _ = write!(io::stderr(), "reading from the cluster…\r");
}
