//! The receiver in its control group, with a destination that never answers, and a full buffer.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::blackhole::Blackhole;
use crate::cgroup::Cgroup;
use crate::grpc::{Grpc, Outcome};
use crate::payload::{Bodies, Body};
use crate::process::{Process, free_addresses};
use crate::sidecar::{Ports, Sidecar};
use crate::target::Target;

/// The buffer is full from here on; the rest is room that the next record does not fit into.
const FULL: f64 = 0.95;
const FILL_TIMEOUT: Duration = Duration::from_secs(30);
/// The sizes that fill the buffer: small ones in shared segments, large ones in memory of their own.
const FILLING_BYTES: [usize; 6] = [700, 2_000, 30_000, 100_000, 400_000, 1_500_000];
/// Any address outside of this machine. Nothing is sent there.
const ELSEWHERE: &str = "198.51.100.1:9";

/// One receiver.
pub(crate) struct Receiver {
    // Fields are dropped in this order: the group must be empty when it is removed.
    pub(crate) process: Process,
    pub(crate) cgroup: Cgroup,
    pub(crate) target: Target,
    /// The memory that the operator sets, in bytes.
    pub(crate) memory: u64,
    /// The spans that were acknowledged while the buffer was filled.
    pub(crate) filled_spans: u64,
    _destination: Blackhole,
    _folder: TempDir,
}

impl Receiver {
    /// Starts a receiver as the operator would, and fills its buffer.
    pub(crate) async fn start(binary: &Path, bodies: Arc<Bodies>) -> io::Result<Self> {
        let destination = Blackhole::start().await?;
        let folder = TempDir::new()?;
        let [grpc, http, admin] = free_addresses::<3>();
        let ports = Ports { grpc: grpc.port(), http: http.port(), admin: admin.port() };
        let sidecar = Sidecar::inject(binary, folder.path(), destination.address, ports)?;
        let cgroup = Cgroup::create(sidecar.memory)?;
        let command = command(&copy_uncached(binary, folder.path())?, &cgroup, &sidecar, &folder)?;
        let mut process = Process::spawn(command, admin);
        if !process.wait_until_listening().await {
            return Err(io::Error::other(format!("it ended at once:\n{}", process.log())));
        }
        let target = Target { grpc, http, admin: (pod_address(), ports.admin).into(), bodies };
        let mut receiver = Self {
            process,
            cgroup,
            target,
            memory: sidecar.memory,
            filled_spans: 0,
            _destination: destination,
            _folder: folder,
        };
        receiver.fill().await?;
        Ok(receiver)
    }

    async fn fill(&mut self) -> io::Result<()> {
        let mut random = Rng::with_seed(1);
        let bodies = FILLING_BYTES.map(|bytes| Body::protobuf(bytes, &mut random));
        let channel = Grpc::new(self.target.grpc);
        let deadline = Instant::now() + FILL_TIMEOUT;
        while self.fill_level().await < FULL {
            // As many bytes of each size, nearly.
            for body in &bodies {
                for _ in 0..(200_000 / body.bytes.len()).clamp(1, 50) {
                    match channel.export(body).await {
                        Outcome::Accepted => self.filled_spans += body.spans,
                        other => return Err(io::Error::other(format!("filling: {other:?}"))),
                    }
                }
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("the buffer does not become full"));
            }
        }
        Ok(())
    }

    /// How much of the byte limit is in use, from 0 to 1.
    async fn fill_level(&self) -> f64 {
        let metrics = self.process.metrics().await;
        metrics.sum::<f64>("tracebuffer_buffer_bytes", &[])
            / metrics.sum::<f64>("tracebuffer_buffer_capacity_bytes", &[])
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        // A process that has ended and was not waited for has no memory map.
        let maps = fs::read_to_string(format!("/proc/{}/statm", self.process.pid()));
        maps.is_ok_and(|pages| !pages.starts_with("0 "))
    }

    /// Waits until it has ended.
    pub(crate) async fn wait_for_end(&self) {
        while self.is_alive() {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Runs the receiver in the group, with the environment of the sidecar.
fn command(
    binary: &Path,
    cgroup: &Cgroup,
    sidecar: &Sidecar,
    folder: &TempDir,
) -> io::Result<Command> {
    let limits = folder.path().join("limits");
    fs::write(&limits, &sidecar.limits)?;
    let mut command = Command::new("sh");
    command.args(["-c", r#"echo $$ > "$0" && exec "$@""#]).arg(cgroup.procs());
    command.arg(binary).arg("receiver");
    command.envs(sidecar.environment.iter().map(|(name, value)| (name, value)));
    command.env("TRACEBUFFER_LIMITS_FILE", limits);
    Ok(command)
}

/// Copies the binary, and lets the kernel forget its pages: then the group is charged for those that
/// are read, as it is on a node where no other receiver runs.
fn copy_uncached(binary: &Path, folder: &Path) -> io::Result<PathBuf> {
    let copy = folder.join("tracebuffer");
    fs::copy(binary, &copy)?;
    let file = File::open(&copy)?;
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(copy)
}

/// An address of this machine that is not the loopback address, if it has one: as the pod's, it does
/// not leave the machine.
fn pod_address() -> IpAddr {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
    let address = socket.and_then(|socket| {
        socket.connect(ELSEWHERE)?;
        socket.local_addr()
    });
    address.map_or(Ipv4Addr::LOCALHOST.into(), |address: SocketAddr| address.ip())
}
