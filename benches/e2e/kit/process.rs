//! Starts programs on a chosen core, makes sure that they end, and finds ports for them.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Pid;

use super::{BenchResult, usage::Cgroup};

/// A program to start. It inherits only `PATH` and `HOME` from this process's environment.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Where its output goes.
    pub(crate) log: PathBuf,
}

/// A running program. It is killed when dropped, and with this process where `setpriv` is
/// available.
#[derive(Debug)]
pub(crate) struct RunningProcess {
    child: Child,
    log: PathBuf,
    cgroup: Option<Cgroup>,
}

impl Program {
    /// Starts it on `core`, in a control group of its own where this machine allows one.
    pub(crate) fn start_on(&self, core: usize) -> BenchResult<RunningProcess> {
        let cgroup = Cgroup::create();
        let mut words = parent_death_wrapper();
        words.extend(["taskset", "-c", &core.to_string()].map(str::to_owned));
        if let Some(cgroup) = &cgroup {
            let join = r#"echo $$ > "$0" && exec "$@""#;
            words.extend(["sh", "-c", join, &cgroup.members()].map(str::to_owned));
        }
        words.push(self.path.display().to_string());
        let child = self.spawn(&words)?;
        Ok(RunningProcess { child, log: self.log.clone(), cgroup })
    }

    /// Starts it directly, on any core, so that its startup time includes no wrapper.
    pub(crate) fn start(&self) -> BenchResult<RunningProcess> {
        let child = self.spawn(&[self.path.display().to_string()])?;
        Ok(RunningProcess { child, log: self.log.clone(), cgroup: None })
    }

    fn spawn(&self, words: &[String]) -> BenchResult<Child> {
        let (first, rest) = words.split_first().ok_or("no program named")?;
        let log = File::create(&self.log)?;
        let kept = ["PATH", "HOME"].map(|name| (name, std::env::var_os(name).unwrap_or_default()));
        Command::new(first)
            .args(rest)
            .args(&self.arguments)
            .env_clear()
            .envs(kept)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()
            .map_err(|error| format!("cannot start {first}: {error}").into())
    }
}

impl RunningProcess {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// Waits until something accepts on `port`.
    pub(crate) fn wait_for_port(&mut self, port: u16, patience: Duration) -> BenchResult<()> {
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended with {status}: {}", self.log_tail()).into());
            }
            if start.elapsed() > patience {
                return Err(format!("port {port} stays closed: {}", self.log_tail()).into());
            }
            thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for RunningProcess {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command prefix that makes the kernel kill the program when this process dies in any way.
fn parent_death_wrapper() -> Vec<String> {
    let known = Command::new("setpriv").arg("--version").stdout(Stdio::null()).status();
    if known.is_ok_and(|status| status.success()) {
        return ["setpriv", "--pdeathsig", "KILL"].map(str::to_owned).to_vec();
    }
    Vec::new()
}

/// Binds the calling thread, and those it starts, to `core`.
pub(crate) fn pin_this_thread(core: usize) -> BenchResult<()> {
    let this = fs::read_link("/proc/thread-self")?;
    let thread = this.file_name().ok_or("this thread has no id")?;
    let pinned = Command::new("taskset")
        .args(["-p", "-c", &core.to_string()])
        .arg(thread)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("cannot run taskset (from util-linux): {error}"))?;
    if pinned.success() {
        return Ok(());
    }
    Err(format!("cannot use core {core}: two cores are needed").into())
}

/// Lets this process's sleeping threads wake up on time, instead of up to 50 µs late.
pub(crate) fn disable_timer_slack() -> std::io::Result<()> {
    fs::write("/proc/self/timerslack_ns", "1")
}

/// A port of 127.0.0.1 without a listener, below those that the kernel gives to clients. Concurrent
/// benchmarks start their search at different ports, because the port is not reserved.
pub(crate) fn free_port() -> BenchResult<u16> {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let own = std::process::id().wrapping_mul(7_919);
    for _ in 0..COUNT {
        let at = own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + at)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port between 10000 and 32000".into())
}

/// The status line and body of a plain HTTP GET.
pub(crate) fn get(port: u16, path: &str) -> BenchResult<String> {
    let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    tcp.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(tcp, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n")?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer)?;
    Ok(answer)
}
