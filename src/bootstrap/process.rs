//! What every role has in common: a runtime, and an end.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use tokio::runtime::Runtime;
use tracing::error;

/// Does `work` on `runtime`; logs why it failed, with `failure` saying what that means.
pub(super) fn run(
    runtime: io::Result<Runtime>,
    failure: &str,
    work: impl Future<Output = Result<(), Box<dyn Error>>>,
) -> ExitCode {
    let ended = runtime.map_err(Into::into).and_then(|runtime| {
        let ended = runtime.block_on(work);
        // A name lookup that hangs must not keep the process.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "{failure}");
            ExitCode::FAILURE
        }
    }
}
