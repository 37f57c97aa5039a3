//! `tracebuffer check` and `tracebuffer explain`: diagnosis of a cluster.

pub(super) mod check;
mod client;
pub(super) mod explain;
mod proxied_client;
mod report;

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

/// The exit code of a failure.
const EXIT_FAILED: u8 = 1;
/// Timeout of the whole command.
const OVERALL_TIMEOUT: Duration = Duration::from_mins(2);
/// How long to wait before progress is shown.
const PROGRESS_DELAY: Duration = Duration::from_secs(1);

/// Runs `work` and returns its exit code. Shows progress on a terminal, and prints an error to standard
/// error.
fn run(work: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    let result = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(with_timeout(work)));
    result.unwrap_or_else(|error| {
        // If standard error is closed, only the exit code reports the failure.
        let _ = writeln!(io::stderr(), "tracebuffer: {error}");
        EXIT_FAILED.into()
    })
}

async fn with_timeout<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let timed_out =
        || Err(format!("the cluster did not respond within {} s", OVERALL_TIMEOUT.as_secs()));
    let work = timeout(OVERALL_TIMEOUT, work);
    tokio::pin!(work);
    let result = tokio::select! {
        result = &mut work => result,
        () = show_progress() => work.await,
    };
    result.unwrap_or_else(|_| timed_out())
}

/// Prints a progress message after a delay; never returns if standard error is not a terminal.
async fn show_progress() {
    if !io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    sleep(PROGRESS_DELAY).await;
    // The next line overwrites it.
    let _ = write!(io::stderr(), "reading from the cluster…\r");
}
