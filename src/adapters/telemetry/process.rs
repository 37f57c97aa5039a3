//! Statistics of this process from `/proc/self`.

use std::fs;
use std::time::{Duration, SystemTime};

/// The usual process metrics; a field is `None` if the kernel does not provide it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ProcessStats {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) start_seconds: Option<f64>,
}

impl ProcessStats {
    pub(super) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let ticks = rustix::param::clock_ticks_per_second();
        Self {
            cpu_seconds: cpu_seconds(&stat, ticks),
            resident_bytes: kibibytes(&status, "VmRSS:"),
            virtual_bytes: kibibytes(&status, "VmSize:"),
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
            max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            threads: field(&status, "Threads:"),
            start_seconds: start_seconds(&stat, ticks),
        }
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    Some(field(status, name)? * 1024)
}

/// Returns a field of `/proc/self/stat` by its number in proc(5). The command name may contain
/// anything, so fields are counted from its closing parenthesis.
fn stat_field(stat: &str, number: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn seconds(ticks: u64, per_second: u64) -> f64 {
    Duration::from_millis(ticks.saturating_mul(1000) / per_second.max(1)).as_secs_f64()
}

fn cpu_seconds(stat: &str, ticks_per_second: u64) -> Option<f64> {
    const UTIME: usize = 14;
    const STIME: usize = 15;
    let ticks = stat_field(stat, UTIME)? + stat_field(stat, STIME)?;
    Some(seconds(ticks, ticks_per_second))
}

fn start_seconds(stat: &str, ticks_per_second: u64) -> Option<f64> {
    const STARTTIME: usize = 22;
    let since_boot = seconds(stat_field(stat, STARTTIME)?, ticks_per_second);
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64();
    Some(now - uptime + since_boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "1 (a) b (c)) S 2 3 4 5 6 7 8 9 10 11 150 50 14 15 16 17 18 19 700 21";

        assert_eq!(cpu_seconds(stat, 100), Some(2.0));
        assert_eq!(stat_field(stat, 22), Some(700));
    }

    #[test]
    fn a_size_in_kib_is_converted_to_bytes() {
        assert_eq!(kibibytes("Name:\tx\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12_288));
    }

    #[test]
    fn a_missing_field_is_left_out() {
        assert_eq!(kibibytes("Name:\tx\n", "VmRSS:"), None);
        assert_eq!(cpu_seconds("", 100), None);
    }

    #[test]
    fn this_process_uses_memory_and_files_and_has_started() {
        let stats = ProcessStats::read();

        assert!(stats.resident_bytes > Some(0));
        assert!(stats.open_fds > Some(0));
        assert!(stats.start_seconds > Some(1.0e9));
    }
}
