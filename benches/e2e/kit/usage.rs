//! The CPU time and memory of a process, as the kernel counts them.

use std::{
    fs,
    num::NonZeroI32,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::Pid;

use super::BenchResult;

/// The prefix of control group names; the id of the process that created the group follows.
const CGROUP_PREFIX: &str = "tracebuffer-bench-";

/// CPU time of all threads of a process up to now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    /// Sum over the live threads, exact.
    threads: Duration,
    /// The whole process with its ended threads, in ticks of 10 ms.
    ticks: Duration,
}

/// Resident memory of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryUsage {
    pub(crate) now_kib: u64,
    /// The highest value so far.
    pub(crate) peak_kib: u64,
}

/// A memory control group with one process in it; removed when dropped.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
    peak: PathBuf,
}

impl CpuTime {
    pub(crate) fn of(pid: Pid) -> BenchResult<Self> {
        let pid = pid.as_raw_nonzero();
        let mut threads = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end between the listing and the reading.
            let line = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            threads += line.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Self { threads: Duration::from_nanos(threads), ticks: ticks(pid)? })
    }

    /// The time used since `earlier`; the coarse count wins if the exact one misses ended threads.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let threads = self.threads.saturating_sub(earlier.threads);
        let ticks = self.ticks.saturating_sub(earlier.ticks);
        let tolerance = threads / 20 + Duration::from_millis(20);
        if ticks > threads + tolerance { ticks } else { threads }
    }
}

impl MemoryUsage {
    pub(crate) fn of(pid: Pid) -> BenchResult<Self> {
        let pid = pid.as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| -> BenchResult<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|rest| rest.split_whitespace().next());
            Ok(value.ok_or_else(|| format!("/proc/{pid}/status has no {name}"))?.parse()?)
        };
        Ok(Self { now_kib: kib("VmRSS:")?, peak_kib: kib("VmHWM:")? })
    }
}

impl Cgroup {
    /// A new group below the root of version 1 or 2, if this process may create one.
    pub(crate) fn create() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{CGROUP_PREFIX}{}-{number}", std::process::id());
        let at = |root: &str, peak: &str| {
            remove_orphans(Path::new(root));
            let path = Path::new(root).join(&name);
            fs::create_dir(&path).ok()?;
            let group = Self { peak: path.join(peak), path };
            group.peak_kib().is_some().then_some(group)
        };
        at("/sys/fs/cgroup/memory", "memory.max_usage_in_bytes")
            .or_else(|| at("/sys/fs/cgroup", "memory.peak"))
    }

    /// The file that takes the ids of its processes.
    pub(crate) fn members(&self) -> String {
        self.path.join("cgroup.procs").display().to_string()
    }

    /// The most memory that was charged to it, page cache and kernel memory included.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        let bytes = fs::read_to_string(&self.peak).ok()?;
        Some(bytes.trim().parse::<u64>().ok()? / 1024)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails while a process is in it; the group then remains, soon empty and harmless.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Removes the groups of benchmarks that were killed.
fn remove_orphans(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(CGROUP_PREFIX));
        let owner = rest.and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Its process may still be ending; the next benchmark tries again.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn ticks(pid: NonZeroI32) -> BenchResult<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold blanks; utime and stime are the 12th and 13th word after it.
    let words = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
    let ticks: Vec<u64> = words.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    let rate = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_micros(ticks.iter().sum::<u64>() * 1_000_000 / rate))
}
