//! A memory control group, of version 1 or 2, that limits one receiver as a kubelet does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

const ROOT: &str = "/sys/fs/cgroup";
/// How often and how long the removal of a group is tried: the kernel takes a moment to empty it.
const REMOVAL_ATTEMPTS: u32 = 100;
const REMOVAL_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// One group without swap. Removed when dropped, by when its process must have ended.
pub(crate) struct Cgroup {
    path: PathBuf,
    version: Version,
}

/// The most memory that a group has held, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoryPeak {
    /// All that counts towards the limit: the heap, page tables and other kernel memory, and the
    /// pages of the binary that this process was the first to read. Version 2 includes `sockets`.
    pub(crate) total: u64,
    /// Socket buffers. Version 1 counts them apart and does not limit them; version 2 tells only
    /// what there is now, not what there was at most.
    pub(crate) sockets: u64,
}

impl Cgroup {
    /// Creates a group that may use `limit` bytes.
    pub(crate) fn create(limit: u64) -> io::Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "tracebuffer-attacks-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let (version, parent) = hierarchy()?;
        let path = parent.join(name);
        fs::create_dir(&path).map_err(|error| explain(&path, &error))?;
        let group = Self { path, version };
        match version {
            Version::V1 => {
                group.write("memory.limit_in_bytes", limit)?;
                // Starts the accounting of sockets, which is off until a limit is written.
                group.write("memory.kmem.tcp.limit_in_bytes", 1_u64 << 40)?;
                group.write_if_present("memory.memsw.limit_in_bytes", limit)?;
            }
            Version::V2 => {
                group.write("memory.max", limit)?;
                group.write_if_present("memory.swap.max", 0)?;
            }
        }
        Ok(group)
    }

    /// The file that moves a process into the group when its id is written there.
    pub(crate) fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Returns how many processes the kernel has killed because the group was out of memory.
    pub(crate) fn oom_kills(&self) -> io::Result<u64> {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let text = fs::read_to_string(self.path.join(file))?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.parse().ok()).ok_or_else(|| invalid(file, &text))
    }

    /// Returns the most that was used since the start.
    pub(crate) fn peak(&self) -> io::Result<MemoryPeak> {
        match self.version {
            Version::V1 => Ok(MemoryPeak {
                total: self.read("memory.max_usage_in_bytes")?,
                sockets: self.read("memory.kmem.tcp.max_usage_in_bytes")?,
            }),
            Version::V2 => {
                let stat = fs::read_to_string(self.path.join("memory.stat"))?;
                let sockets = stat.lines().find_map(|line| line.strip_prefix("sock "));
                let sockets = sockets.and_then(|bytes| bytes.parse().ok());
                Ok(MemoryPeak {
                    total: self.read("memory.peak")?,
                    sockets: sockets.ok_or_else(|| invalid("memory.stat", &stat))?,
                })
            }
        }
    }

    fn read(&self, file: &str) -> io::Result<u64> {
        let path = self.path.join(file);
        // `memory.peak` exists since Linux 5.19.
        let text = fs::read_to_string(&path).map_err(|error| explain(&path, &error))?;
        text.trim().parse().map_err(|_| invalid(file, &text))
    }

    fn write(&self, file: &str, value: u64) -> io::Result<()> {
        let path = self.path.join(file);
        fs::write(&path, value.to_string()).map_err(|error| explain(&path, &error))
    }

    /// Kernels without swap accounting have no file for it.
    fn write_if_present(&self, file: &str, value: u64) -> io::Result<()> {
        if self.path.join(file).exists() { self.write(file, value) } else { Ok(()) }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..REMOVAL_ATTEMPTS {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            sleep(REMOVAL_INTERVAL);
        }
        eprintln!("{} is still in use and was left behind", self.path.display());
    }
}

/// Finds the hierarchy that controls memory.
fn hierarchy() -> io::Result<(Version, PathBuf)> {
    let root = Path::new(ROOT);
    let v1 = root.join("memory");
    if v1.join("memory.limit_in_bytes").exists() {
        return Ok((Version::V1, v1));
    }
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    if !controllers.split_whitespace().any(|controller| controller == "memory") {
        let message = format!("no control group of {ROOT} controls memory, in version 1 or 2");
        return Err(io::Error::other(message));
    }
    let enabled = root.join("cgroup.subtree_control");
    fs::write(&enabled, "+memory").map_err(|error| explain(&enabled, &error))?;
    Ok((Version::V2, root.to_owned()))
}

fn explain(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("{}: {error}; the attacks need root and a memory control group", path.display()),
    )
}

fn invalid(file: &str, text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{file} is {text:?}"))
}
