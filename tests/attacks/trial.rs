//! One attack on one receiver, and its verdict.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use crate::cgroup::MemoryPeak;
use crate::http1::{self, Http1};
use crate::payload::Bodies;
use crate::polite::{SharedTally, Tally, keep_arriving, keep_sending};
use crate::probe::{Liveness, Resident, watch_liveness, watch_memory};
use crate::process::Metrics;
use crate::receiver::Receiver;
use crate::target::{Attackers, Target};

/// Polite clients and probes begin before the attack, so that they are connected.
const HEAD_START: Duration = Duration::from_millis(500);
/// How long the receiver may take to answer after an attack.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(5);
const SCRAPE_INTERVAL: Duration = Duration::from_millis(50);
/// The slowest percentile of a polite client's requests may take so long.
const MAX_P99: Duration = Duration::from_millis(500);

/// One row of the table.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What the attackers do.
    pub(crate) what: &'static str,
    pub(crate) duration: Duration,
    /// Whether it hardly needs a processor, so that others can run beside it.
    pub(crate) is_calm: bool,
    pub(crate) start: fn(&Target) -> Attackers,
}

/// What was measured.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) memory: u64,
    pub(crate) peak: MemoryPeak,
    pub(crate) resident: Resident,
    pub(crate) kept: Tally,
    pub(crate) new: Tally,
    pub(crate) liveness: Liveness,
    /// What is wrong; nothing if the receiver passed.
    pub(crate) faults: Vec<String>,
}

impl Attack {
    /// One that takes places or memory, and hardly any processor.
    pub(crate) const fn calm(
        name: &'static str,
        what: &'static str,
        seconds: u64,
        start: fn(&Target) -> Attackers,
    ) -> Self {
        Self { name, what, duration: Duration::from_secs(seconds), is_calm: true, start }
    }

    /// One that keeps a processor busy.
    pub(crate) const fn busy(
        name: &'static str,
        what: &'static str,
        seconds: u64,
        start: fn(&Target) -> Attackers,
    ) -> Self {
        Self { is_calm: false, ..Self::calm(name, what, seconds, start) }
    }

    /// Runs the attack on a new receiver; `attackers` is the runtime of the attackers. Unless
    /// `judges_service`, it only has to survive with all spans accounted for.
    pub(crate) async fn run(
        &self,
        binary: &Path,
        bodies: Arc<Bodies>,
        attackers: Handle,
        judges_service: bool,
    ) -> io::Result<Findings> {
        let receiver = Receiver::start(binary, bodies).await?;
        let resident = Arc::new(Mutex::new(Resident::default()));
        tokio::spawn(watch_memory(receiver.process.pid(), Arc::clone(&resident)));
        let started = Instant::now();
        let end = started + HEAD_START + self.duration;
        let (kept, new) = (SharedTally::default(), SharedTally::default());
        let liveness = Arc::new(Mutex::new(Liveness::default()));
        let target = &receiver.target;
        let polite = [
            tokio::spawn(keep_sending(target.clone(), end, Arc::clone(&kept))),
            tokio::spawn(keep_arriving(target.clone(), end, Arc::clone(&new))),
            tokio::spawn(watch_liveness(target.admin, end, Arc::clone(&liveness))),
        ];
        sleep(HEAD_START).await;
        let running = {
            let _entered = attackers.enter();
            (self.start)(target)
        };
        tokio::select! {
            () = receiver.wait_for_end() => {}
            () = tokio::time::sleep_until(end) => {}
        }
        let died_after = (!receiver.is_alive()).then(|| started.elapsed());
        drop(running);
        let mut findings = Findings { memory: receiver.memory, ..Findings::default() };
        match died_after {
            Some(after) => {
                for client in polite {
                    client.abort();
                }
                findings.faults.push(ending(&receiver, after)?);
            }
            None => {
                for client in polite {
                    client.await.map_err(io::Error::other)?;
                }
            }
        }
        findings.kept = std::mem::take(&mut kept.lock());
        findings.new = std::mem::take(&mut new.lock());
        findings.liveness = *liveness.lock();
        if findings.faults.is_empty() {
            findings.judge_accounts(&receiver).await;
            if judges_service {
                findings.judge_service();
            }
        }
        findings.peak = receiver.cgroup.peak()?;
        findings.resident = *resident.lock();
        findings.judge_sockets();
        Ok(findings)
    }
}

impl Findings {
    pub(crate) fn has_passed(&self) -> bool {
        self.faults.is_empty()
    }

    /// Checks that it lost no span that it had acknowledged.
    async fn judge_accounts(&mut self, receiver: &Receiver) {
        let acknowledged =
            receiver.filled_spans + self.kept.accepted_spans + self.new.accepted_spans;
        let Ok(metrics) = timeout(RECOVERY_TIMEOUT, scrape(receiver.target.admin)).await else {
            let seconds = RECOVERY_TIMEOUT.as_secs();
            self.faults.push(format!("no metrics within {seconds} s after the attack"));
            return;
        };
        let unaccounted = metrics.unaccounted_spans();
        if unaccounted != 0 {
            self.faults.push(format!("{unaccounted} spans are unaccounted for"));
        }
        let missing = acknowledged.cast_signed() - metrics.accepted_spans();
        if missing > 0 {
            self.faults.push(format!("{missing} acknowledged spans were never accepted"));
        }
        if !receiver.is_alive() {
            self.faults.push("it ended after the attack".to_owned());
        }
    }

    /// Checks that it would fit where sockets count towards the limit too.
    fn judge_sockets(&mut self) {
        let bytes = self.resident.anonymous + self.peak.sockets;
        if bytes > self.memory {
            let mebibytes = bytes >> 20;
            self.faults.push(format!("heap and sockets together take {mebibytes} MiB"));
        }
    }

    fn judge_service(&mut self) {
        let Liveness { probes, missed, .. } = self.liveness;
        if missed > 0 || probes == 0 {
            self.faults
                .push(format!("{missed} of {probes} probes of /live were not answered in 1 s"));
        }
        for (who, tally) in [("kept", &self.kept), ("new", &self.new)] {
            for (outcome, count) in &tally.unserved {
                self.faults.push(format!("{who}: {count} {outcome}"));
            }
            let p99 = tally.percentile(0.99);
            if p99 > MAX_P99 {
                self.faults.push(format!("{who}: p99 {} ms", p99.as_millis()));
            }
        }
    }
}

/// Asks for the metrics until there is an answer.
async fn scrape(admin: SocketAddr) -> Metrics {
    loop {
        let exchange = async {
            let mut connection = Http1::connect(admin).await?;
            connection.send(http1::get("/metrics").as_bytes()).await?;
            connection.response_with_content().await
        };
        if let Ok((200, content)) = exchange.await {
            return Metrics::parse(&String::from_utf8_lossy(&content));
        }
        sleep(SCRAPE_INTERVAL).await;
    }
}

/// Describes how a receiver ended.
fn ending(receiver: &Receiver, after: Duration) -> io::Result<String> {
    let seconds = after.as_secs_f64();
    if receiver.cgroup.oom_kills()? > 0 {
        return Ok(format!("OOM-killed after {seconds:.1} s"));
    }
    let log = receiver.process.log();
    let last = log.lines().last().unwrap_or("it logged nothing");
    Ok(format!("ended after {seconds:.1} s: {last}"))
}
