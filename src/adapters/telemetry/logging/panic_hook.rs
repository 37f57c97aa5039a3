//! Panics are logged like everything else.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use tracing::error;

/// Logs every panic from now on, and then lets `flush` write it: a release build aborts right after
/// the hook. The hook of the standard library writes to standard error and may wait for ever.
pub(super) fn install(flush: fn()) {
    panic::set_hook(Box::new(move |panic| {
        log(panic);
        flush();
    }));
}

fn log(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let has_backtrace = backtrace.status() == BacktraceStatus::Captured;
    error!(
        reason = panic.payload_as_str(),
        location = panic.location().map(tracing::field::display),
        thread = thread::current().name(),
        backtrace = has_backtrace.then(|| tracing::field::display(&backtrace)),
        "the process panicked; please report this bug"
    );
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write, pipe};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use tracing::Level;

    use super::super::{LogFormat, LogSettings, init};

    const PANICKING: &str = "adapters::telemetry::logging::panic_hook::tests::panicking_process";

    /// The process of the tests below, which run it on its own.
    #[test]
    #[ignore = "it panics"]
    fn panicking_process() {
        init(&LogSettings { format: LogFormat::Text, level: Level::ERROR });
        panic!("one\ntwo");
    }

    fn panicking(stderr: impl Into<Stdio>) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let filter = ["--ignored", "--exact", PANICKING, "--nocapture", "--test-threads=1"];
        command.args(filter).stdout(Stdio::null()).stderr(stderr);
        command
    }

    #[test]
    fn a_panic_is_one_line_of_the_log_with_its_reason_and_place() {
        let (mut reader, writer) = pipe().unwrap();

        panicking(writer).env_remove("RUST_BACKTRACE").status().unwrap();

        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        let line = log.lines().find(|line| line.contains("panicked")).unwrap();
        assert!(line.contains("ERROR the process panicked; please report this bug"), "{line}");
        assert!(line.contains("reason=\"one\\ntwo\" location=src/adapters"), "{line}");
    }

    #[test]
    fn a_panic_whose_log_nobody_reads_ends_the_process() {
        let (reader, mut writer) = pipe().unwrap();
        rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
        writer.write_all(&[b'x'; 4096]).unwrap();
        let mut child = panicking(writer).spawn().unwrap();

        let started = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if started.elapsed() > Duration::from_secs(20) {
                child.kill().unwrap();
                panic!("the process hangs");
            }
            std::thread::sleep(Duration::from_millis(5));
        }

        drop(reader);
    }
}
