//! What both roles share: running on a runtime, and the exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use tokio::runtime::Runtime;
use tracing::error;

use crate::adapters::telemetry::logging;

/// The exit code of a process whose runtime hangs: `EX_SOFTWARE` of sysexits.h.
const EXIT_HUNG: i32 = 70;

/// Ends the process although its runtime hangs.
pub(super) fn exit_hung() -> ! {
    std::process::exit(EXIT_HUNG)
}

/// Runs `work` on `runtime`, and returns once its log is written. If it fails, logs the error under
/// the message `failure`.
pub(super) fn run(
    runtime: io::Result<Runtime>,
    failure: &str,
    work: impl Future<Output = Result<(), Box<dyn Error>>>,
) -> ExitCode {
    let ended = runtime.map_err(Into::into).and_then(|runtime| {
        let ended = runtime.block_on(work);
        // Does not wait for blocking tasks: a name lookup that hangs must not delay the exit.
        runtime.shutdown_background();
        ended
    });
    let code = match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "{failure}");
            ExitCode::FAILURE
        }
    };
    logging::flush();
    code
}
