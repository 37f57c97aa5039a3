//! The `tracebuffer` binary, which only calls [`tracebuffer::cli`].

use std::process::ExitCode;

use tracebuffer::cli::Invocation;

fn main() -> ExitCode {
    match Invocation::from_process() {
        Ok(invocation) => invocation.run(),
        Err(error) => error.report(),
    }
}
