//! The thread that writes the log. It alone waits for a reader of standard error that is slow or stuck.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tracing::{Dispatch, dispatcher, error};

use super::line_queue::{LineQueue, Taken};
use super::rate_limit::RateLimit;

/// Lost lines are reported at most this often while lines are still being lost.
const LOSS_REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Pause before a file is tried again that another process has made non-blocking.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Writes without Rust's lock of standard error, which a stuck write would hold for ever.
#[derive(Clone, Debug)]
pub(super) struct Output(Arc<File>);

/// Writes what is queued, and reports what was lost or withheld.
pub(super) struct LineWriter {
    pub(super) queue: LineQueue,
    pub(super) limit: RateLimit,
    pub(super) output: Output,
    /// Logs to `output` directly: reports of this thread are neither queued nor limited.
    pub(super) reports: Dispatch,
}

impl Output {
    /// Standard error.
    pub(super) fn stderr() -> io::Result<Self> {
        Ok(Self::new(io::stderr().as_fd().try_clone_to_owned()?.into()))
    }

    pub(super) fn new(file: File) -> Self {
        Self(Arc::new(file))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&*self.0).write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => return written,
            }
            thread::sleep(RETRY_INTERVAL);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LineWriter {
    /// Starts the thread.
    pub(super) fn spawn(self) -> io::Result<()> {
        thread::Builder::new().name("log".to_owned()).spawn(move || self.run()).map(drop)
    }

    fn run(mut self) {
        let mut last_loss_report = None;
        loop {
            let Taken { lost, line, flushing } = self.queue.take(self.limit.next_due());
            if lost > 0 {
                self.report_lost(lost, &mut last_loss_report, flushing || line.is_none());
            }
            if let Some(line) = line {
                // A line that cannot be written is lost: there is nowhere to report it.
                let _ = self.output.write_all(&line);
            }
            let withheld = self.limit.take_withheld(Instant::now(), flushing);
            dispatcher::with_default(&self.reports, || {
                withheld.iter().for_each(super::rate_limit::Withheld::log);
            });
        }
    }

    fn report_lost(&self, lost: u64, reported_at: &mut Option<Instant>, at_once: bool) {
        let now = Instant::now();
        let is_due = reported_at.is_none_or(|before| now >= before + LOSS_REPORT_INTERVAL);
        if !at_once && !is_due {
            return self.queue.postpone(lost);
        }
        *reported_at = Some(now);
        dispatcher::with_default(&self.reports, || {
            error!(lines = lost, "log lines were lost: standard error was not read in time");
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader};

    use tracing::{Level, warn};

    use super::super::{LogFormat, LogSettings, Logger};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A logger whose output nobody has read yet.
    fn unread() -> (Logger, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let settings = LogSettings { format: LogFormat::Text, level: Level::INFO };
        let output = Output::new(std::os::fd::OwnedFd::from(writer).into());
        (Logger::start(&settings, output, false).unwrap(), reader)
    }

    fn log_lines(logger: &Logger, lines: u32) {
        dispatcher::with_default(&logger.dispatch, || {
            for number in 0..lines {
                // The kind differs, so that none is withheld.
                warn!(kind = %number, padding = "x".repeat(3000), "a line");
            }
        });
    }

    fn read(reader: PipeReader, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap();
            let is_last = line.contains(last);
            lines.push(line);
            if is_last {
                break;
            }
        }
        lines
    }

    #[test]
    fn an_output_that_nobody_reads_does_not_block_who_logs() {
        let (logger, reader) = unread();
        let started = Instant::now();

        log_lines(&logger, 200);
        logger.queue.flush(Duration::from_millis(50));

        assert!(started.elapsed() < PATIENCE);
        drop(reader);
    }

    #[test]
    fn lost_lines_are_reported_with_their_number_when_somebody_reads_again() {
        let (logger, reader) = unread();
        log_lines(&logger, 200);

        let reading = thread::spawn(|| read(reader, "the end"));
        logger.queue.flush(PATIENCE);
        dispatcher::with_default(&logger.dispatch, || warn!("the end"));

        let lines = reading.join().unwrap();
        let reports = lines.iter().filter_map(|line| line.split_once("in time lines="));
        let lost: u64 = reports.map(|(_, lines)| lines.parse::<u64>().unwrap()).sum();
        let written = lines.iter().filter(|line| line.contains("a line")).count() as u64;
        assert!(lost > 0);
        assert_eq!(written + lost, 200);
        assert!(lines.iter().any(|line| line.contains("kind=199")));
    }

    #[test]
    fn a_flush_writes_the_sum_of_what_was_withheld() {
        let (logger, reader) = unread();
        dispatcher::with_default(&logger.dispatch, || {
            (0..9).for_each(|_| warn!(spans = 2_u64, "refused"));
        });

        logger.queue.flush(PATIENCE);

        let lines = read(reader, "more such lines");
        assert_eq!(lines.len(), 6);
        let sum = "WARN more such lines were not logged lines=4 like=\"refused\" spans=8";
        assert!(lines[5].ends_with(sum), "{}", lines[5]);
    }
}
