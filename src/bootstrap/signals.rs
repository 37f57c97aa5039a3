//! The signals that end a process by default: some stop it in order, the others are ignored.

use std::fs;
use std::io;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::debug;

/// Signals that mean nothing to this program. The default of each is to kill without a word.
const IGNORED: [Number; 10] = [
    Number::USR1,
    Number::USR2,
    Number::ALARM,
    Number::VTALARM,
    Number::PROF,
    Number::IO,
    Number::POWER,
    Number::STKFLT,
    Number::XCPU,
    Number::XFSZ,
];
/// The real-time signals; some C libraries reserve the first ones.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=63;

/// Why a process stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopSignal {
    /// SIGTERM, SIGQUIT or SIGHUP: from Kubernetes, a supervisor, or a terminal that is closed.
    /// Applications may still have something to send.
    Terminate,
    /// SIGINT, from a person at a terminal.
    Interrupt,
}

/// The signals that stop the process.
pub(super) struct StopSignals {
    terminate: Signal,
    quit: Signal,
    /// `None` if whoever started the process has it ignored, as `nohup` does.
    hang_up: Option<Signal>,
    interrupt: Signal,
}

impl StopSignals {
    /// Handles all signals from now on.
    pub(super) fn new() -> io::Result<Self> {
        ignore_others();
        let hang_up =
            if is_ignored(Number::HUP) { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            hang_up,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> StopSignal {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.quit.recv() => StopSignal::Terminate,
            _ = hang_up => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}

/// A signal with a handler does not kill, even if nobody waits for it.
fn ignore_others() {
    for number in IGNORED.map(Number::as_raw).into_iter().chain(REAL_TIME) {
        if let Err(error) = signal(SignalKind::from_raw(number)) {
            debug!(number, %error, "a signal cannot be handled");
        }
    }
}

/// Returns whether the process was started with `number` ignored.
fn is_ignored(number: Number) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status) >> (number.as_raw() - 1) & 1 == 1
}

fn ignored_signals(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read_from_the_status() {
        assert_eq!(ignored_signals("Name:\tx\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!(ignored_signals(""), 0);
    }
}
