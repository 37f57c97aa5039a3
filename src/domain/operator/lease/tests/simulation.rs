//! An election among simulated replicas, with store and network faults, in steps of simulated time.
//! It panics if two replicas lead at once.

use fastrand::Rng;

use super::*;

const TICK: Duration = Duration::from_millis(20);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// The kinds and rates of the faults.
#[derive(Clone, Copy)]
pub(super) struct FaultProfile {
    /// Maximum difference of a clock's rate from 1.
    skew: f64,
    /// Probability that a request or a response is lost.
    loss_rate: f64,
    /// Maximum delay of a request or a response.
    max_delay: Duration,
    /// Probability that a replica crashes within a second and is replaced by a new one.
    crash_rate: f64,
}

impl FaultProfile {
    pub(super) const HOSTILE: Self =
        Self { skew: 0.19, loss_rate: 0.3, max_delay: Duration::from_secs(8), crash_rate: 0.02 };
    pub(super) const FRIENDLY: Self =
        Self { skew: 0.05, loss_rate: 0.0, max_delay: Duration::from_millis(100), crash_rate: 0.0 };
}

struct Replica {
    election: Election,
    rate: f64,
    offset: Duration,
    is_alive: bool,
    /// When the pending request was sent, by the replica's own clock, and its number.
    pending_request: Option<(Duration, u64)>,
}

impl Replica {
    fn new(name: u64, skew: f64, random: &mut Rng) -> Self {
        let election = Election::new(format!("c{name}"), ElectionTimings::default());
        let rate = 1.0 + skew * (random.f64() * 2.0 - 1.0);
        let offset = Duration::from_secs(random.u64(..100_000_000));
        Self { election, rate, offset, is_alive: true, pending_request: None }
    }

    /// The time by the replica's own clock.
    fn clock(&self, now: Duration) -> Duration {
        self.offset + now.mul_f64(self.rate)
    }
}

/// A message in flight.
struct Message {
    replica: usize,
    request: u64,
    at: Duration,
    payload: Payload,
}

enum Payload {
    Request(ElectionAction),
    Found(Option<StoredLease>),
    Written(Result<StoredLease, ()>),
    Notification(StoredLease),
}

pub(super) struct Simulation {
    faults: FaultProfile,
    random: Rng,
    now: Duration,
    replicas: Vec<Replica>,
    replicas_started: u64,
    requests_sent: u64,
    in_flight: Vec<Message>,
    stored: Option<StoredLease>,
    version: u64,
}

impl Simulation {
    pub(super) fn new(seed: u64, settings: FaultProfile) -> Self {
        let mut random = Rng::with_seed(seed);
        let names = random.u64(2..5);
        let replicas =
            (0..names).map(|name| Replica::new(name, settings.skew, &mut random)).collect();
        Self {
            faults: settings,
            random,
            now: Duration::ZERO,
            replicas,
            replicas_started: names,
            requests_sent: 0,
            in_flight: vec![],
            stored: None,
            version: 0,
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.tick();
        }
    }

    pub(super) fn run_until_leader(&mut self, longest: Duration) -> Option<Duration> {
        let start = self.now;
        while self.leaders().is_empty() && self.now < start + longest {
            self.tick();
        }
        (!self.leaders().is_empty()).then(|| self.now.saturating_sub(start))
    }

    /// Stops all faults but the skew of the clocks.
    pub(super) fn stop_faults(&mut self) {
        self.faults = FaultProfile { skew: self.faults.skew, ..FaultProfile::FRIENDLY };
    }

    pub(super) fn kill_leader(&mut self) {
        for leader in self.leaders() {
            self.replicas[leader].is_alive = false;
        }
    }

    pub(super) fn leaders(&self) -> Vec<usize> {
        let leads = |replica: &Replica| {
            replica.is_alive && replica.election.is_leader(replica.clock(self.now))
        };
        (0..self.replicas.len()).filter(|n| leads(&self.replicas[*n])).collect()
    }

    fn tick(&mut self) {
        self.now += TICK;
        self.deliver();
        for replica in 0..self.replicas.len() {
            self.maybe_crash(replica);
            self.poll_replica(replica);
        }
        let leaders = self.leaders();
        assert!(leaders.len() < 2, "at {:?}: {leaders:?}", self.now);
    }

    fn maybe_crash(&mut self, replica: usize) {
        if self.random.f64() < self.faults.crash_rate * TICK.as_secs_f64() {
            self.replicas_started += 1;
            let successor = Replica::new(self.replicas_started, self.faults.skew, &mut self.random);
            self.replicas[replica] = successor;
        }
    }

    fn poll_replica(&mut self, index: usize) {
        let random = self.random.u64(..);
        let replica = &mut self.replicas[index];
        let clock = replica.clock(self.now);
        if let Some((since, _)) = replica.pending_request {
            if clock < since + REQUEST_TIMEOUT {
                return;
            }
            replica.pending_request = None;
            replica.election.on_failure(clock, random);
        }
        if !replica.is_alive {
            return;
        }
        let step = replica.election.next_action(clock, random);
        if !matches!(step, ElectionAction::Wait(_)) {
            self.requests_sent += 1;
            replica.pending_request = Some((clock, self.requests_sent));
            self.send(index, self.requests_sent, Payload::Request(step));
        }
    }

    fn send(&mut self, replica: usize, request: u64, what: Payload) {
        if self.random.f64() >= self.faults.loss_rate {
            let at = self.now + self.faults.max_delay.mul_f64(self.random.f64().powi(3));
            self.in_flight.push(Message { replica, request, at, payload: what });
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (arrived, others) =
            std::mem::take(&mut self.in_flight).into_iter().partition(|m| m.at <= now);
        self.in_flight = others;
        let arrived: Vec<Message> = arrived;
        for Message { replica, request, payload: what, .. } in arrived {
            match what {
                Payload::Request(step) => {
                    let answer = self.handle_request(step);
                    self.send(replica, request, answer);
                }
                Payload::Notification(lease) => {
                    let replica = &mut self.replicas[replica];
                    let clock = replica.clock(self.now);
                    replica.election.on_notified(Some(&lease), clock);
                }
                answer => self.handle_response(replica, request, answer),
            }
        }
    }

    fn handle_request(&mut self, step: ElectionAction) -> Payload {
        let ElectionAction::Write { update, expected_version } = step else {
            return Payload::Found(self.stored.clone());
        };
        if self.stored.as_ref().map(|lease| lease.version.clone()) != expected_version {
            return Payload::Written(Err(()));
        }
        self.version += 1;
        let lease = StoredLease {
            holder: update.holder,
            duration: update.duration,
            transitions: update.transitions,
            renew_time: self.version.to_string(),
            version: self.version.to_string(),
        };
        self.stored = Some(lease.clone());
        // Lost or late like everything else, so also outdated and in any order.
        for replica in 0..self.replicas.len() {
            self.send(replica, 0, Payload::Notification(lease.clone()));
        }
        Payload::Written(Ok(lease))
    }

    fn handle_response(&mut self, index: usize, request: u64, answer: Payload) {
        let random = self.random.u64(..);
        let replica = &mut self.replicas[index];
        let Some((since, _)) = replica.pending_request.filter(|(_, number)| *number == request)
        else {
            return;
        };
        replica.pending_request = None;
        let clock = replica.clock(self.now);
        match answer {
            Payload::Found(lease) => replica.election.on_read(lease, clock),
            Payload::Written(Ok(lease)) => {
                replica.election.on_written(lease, since, clock);
            }
            Payload::Written(Err(())) => replica.election.on_conflict(clock, random),
            Payload::Request(_) | Payload::Notification(_) => {}
        }
    }
}
