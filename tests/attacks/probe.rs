//! What is watched during an attack: the liveness probe, as a kubelet sends it, and the memory.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, interval_at, timeout};

use crate::http1::{self, Http1};

/// A kubelet's default `periodSeconds` is longer: an attack is short.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// A kubelet's default `timeoutSeconds`.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);
const OK: u16 = 200;

/// The results of all probes so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Liveness {
    pub(crate) probes: usize,
    pub(crate) missed: usize,
    pub(crate) slowest: Duration,
}

/// Probes `/live` every second over a new connection, until `end`.
pub(crate) async fn watch_liveness(
    admin: SocketAddr,
    end: Instant,
    liveness: Arc<Mutex<Liveness>>,
) {
    let mut probes = JoinSet::new();
    let mut ticks = interval_at(Instant::now(), PROBE_INTERVAL);
    while ticks.tick().await < end {
        let liveness = Arc::clone(&liveness);
        probes.spawn(async move {
            let started = Instant::now();
            let exchange = async {
                let mut connection = Http1::connect(admin).await?;
                connection.send(http1::get("/live").as_bytes()).await?;
                connection.response().await
            };
            let is_live = matches!(timeout(PROBE_TIMEOUT, exchange).await, Ok(Ok(OK)));
            let mut liveness = liveness.lock();
            liveness.probes += 1;
            liveness.missed += usize::from(!is_live);
            liveness.slowest = liveness.slowest.max(started.elapsed());
        });
    }
    probes.join_all().await;
}

/// Resident memory of a process as `/proc` shows it, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resident {
    /// The most since the start, `VmHWM`: heap, stacks and mapped pages of the binary.
    pub(crate) most: u64,
    /// The most heap and stacks that were seen, `RssAnon`: what the kernel cannot reclaim.
    pub(crate) anonymous: u64,
}

/// Samples the memory of a process for as long as it exists.
pub(crate) async fn watch_memory(pid: u32, resident: Arc<Mutex<Resident>>) {
    let mut ticks = interval(SAMPLE_INTERVAL);
    loop {
        ticks.tick().await;
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return };
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        // A process that has just ended has no memory.
        let (Some(most), Some(anonymous)) = (kilobytes("VmHWM:"), kilobytes("RssAnon:")) else {
            return;
        };
        let mut resident = resident.lock();
        resident.most = resident.most.max(most << 10);
        resident.anonymous = resident.anonymous.max(anonymous << 10);
    }
}
