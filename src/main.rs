//! The `tracebuffer` binary: hands over to [`tracebuffer::cli`].

use std::process::ExitCode;

use tracebuffer::cli::Invocation;

fn main() -> ExitCode {
    match Invocation::from_process() {
        Ok(invocation) => invocation.run(),
        Err(stop) => stop.report(),
    }
}
