//! An election among simulated candidates, with a store and a network that misbehave, in steps of
//! simulated time. It panics when two lead at once.

use fastrand::Rng;

use super::*;

const TICK: Duration = Duration::from_millis(20);
const GIVE_UP: Duration = Duration::from_secs(3);

/// How bad the world is.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    /// How far clocks' rates are from 1, at most.
    skew: f64,
    /// How likely a request, or an answer, is lost.
    loss: f64,
    /// The longest a request, or an answer, is on its way.
    delay: Duration,
    /// How likely a candidate dies within a second, to be replaced by a new one.
    death: f64,
}

impl Settings {
    pub(super) const HOSTILE: Self =
        Self { skew: 0.19, loss: 0.3, delay: Duration::from_secs(8), death: 0.02 };
    pub(super) const FRIENDLY: Self =
        Self { skew: 0.05, loss: 0.0, delay: Duration::from_millis(100), death: 0.0 };
}

struct Candidate {
    election: Election,
    rate: f64,
    offset: Duration,
    is_alive: bool,
    /// What it waits for: since when, by its own clock, and the number of the request.
    waits: Option<(Duration, u64)>,
}

impl Candidate {
    fn new(name: u64, skew: f64, random: &mut Rng) -> Self {
        let election = Election::new(format!("c{name}"), LeaseTimes::default());
        let rate = 1.0 + skew * (random.f64() * 2.0 - 1.0);
        let offset = Duration::from_secs(random.u64(..100_000_000));
        Self { election, rate, offset, is_alive: true, waits: None }
    }

    /// The time by its own clock.
    fn clock(&self, now: Duration) -> Duration {
        self.offset + now.mul_f64(self.rate)
    }
}

/// Something on its way.
struct Message {
    candidate: usize,
    request: u64,
    at: Duration,
    what: What,
}

enum What {
    Step(Step),
    Found(Option<StoredLease>),
    Written(Result<StoredLease, ()>),
}

pub(super) struct Simulation {
    settings: Settings,
    random: Rng,
    now: Duration,
    candidates: Vec<Candidate>,
    names: u64,
    requests: u64,
    on_their_way: Vec<Message>,
    stored: Option<StoredLease>,
    version: u64,
}

impl Simulation {
    pub(super) fn new(seed: u64, settings: Settings) -> Self {
        let mut random = Rng::with_seed(seed);
        let names = random.u64(2..5);
        let candidates =
            (0..names).map(|name| Candidate::new(name, settings.skew, &mut random)).collect();
        Self {
            settings,
            random,
            now: Duration::ZERO,
            candidates,
            names,
            requests: 0,
            on_their_way: vec![],
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

    pub(super) fn run_until_led(&mut self, longest: Duration) -> Option<Duration> {
        let start = self.now;
        while self.leaders().is_empty() && self.now < start + longest {
            self.tick();
        }
        (!self.leaders().is_empty()).then(|| self.now.saturating_sub(start))
    }

    /// From now on nothing goes wrong.
    pub(super) fn calm(&mut self) {
        self.settings = Settings { skew: self.settings.skew, ..Settings::FRIENDLY };
    }

    pub(super) fn kill_leader(&mut self) {
        for leader in self.leaders() {
            self.candidates[leader].is_alive = false;
        }
    }

    pub(super) fn leaders(&self) -> Vec<usize> {
        let leads = |candidate: &Candidate| {
            candidate.is_alive && candidate.election.leads(candidate.clock(self.now))
        };
        (0..self.candidates.len()).filter(|n| leads(&self.candidates[*n])).collect()
    }

    fn tick(&mut self) {
        self.now += TICK;
        self.deliver();
        for candidate in 0..self.candidates.len() {
            self.live_or_die(candidate);
            self.act(candidate);
        }
        let leaders = self.leaders();
        assert!(leaders.len() < 2, "at {:?}: {leaders:?}", self.now);
    }

    fn live_or_die(&mut self, candidate: usize) {
        if self.random.f64() < self.settings.death * TICK.as_secs_f64() {
            self.names += 1;
            let successor = Candidate::new(self.names, self.settings.skew, &mut self.random);
            self.candidates[candidate] = successor;
        }
    }

    fn act(&mut self, index: usize) {
        let random = self.random.u64(..);
        let candidate = &mut self.candidates[index];
        let clock = candidate.clock(self.now);
        if let Some((since, _)) = candidate.waits {
            if clock < since + GIVE_UP {
                return;
            }
            candidate.waits = None;
            candidate.election.failed(clock, random);
        }
        if !candidate.is_alive {
            return;
        }
        let step = candidate.election.step(clock, random);
        if !matches!(step, Step::Wait(_)) {
            self.requests += 1;
            candidate.waits = Some((clock, self.requests));
            self.send(index, self.requests, What::Step(step));
        }
    }

    fn send(&mut self, candidate: usize, request: u64, what: What) {
        if self.random.f64() >= self.settings.loss {
            let at = self.now + self.settings.delay.mul_f64(self.random.f64().powi(3));
            self.on_their_way.push(Message { candidate, request, at, what });
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (arrived, others) =
            std::mem::take(&mut self.on_their_way).into_iter().partition(|m| m.at <= now);
        self.on_their_way = others;
        let arrived: Vec<Message> = arrived;
        for Message { candidate, request, what, .. } in arrived {
            match what {
                What::Step(step) => {
                    let answer = self.serve(step);
                    self.send(candidate, request, answer);
                }
                answer => self.hear(candidate, request, answer),
            }
        }
    }

    fn serve(&mut self, step: Step) -> What {
        let Step::Write { claim, over } = step else { return What::Found(self.stored.clone()) };
        if self.stored.as_ref().map(|lease| lease.version.clone()) != over {
            return What::Written(Err(()));
        }
        self.version += 1;
        let lease = StoredLease {
            holder: claim.holder,
            duration: claim.duration,
            transitions: claim.transitions,
            renewal: self.version.to_string(),
            version: self.version.to_string(),
        };
        self.stored = Some(lease.clone());
        What::Written(Ok(lease))
    }

    fn hear(&mut self, index: usize, request: u64, answer: What) {
        let random = self.random.u64(..);
        let candidate = &mut self.candidates[index];
        let Some((since, _)) = candidate.waits.filter(|(_, number)| *number == request) else {
            return;
        };
        candidate.waits = None;
        let clock = candidate.clock(self.now);
        match answer {
            What::Found(lease) => candidate.election.found(lease, clock),
            What::Written(Ok(lease)) => candidate.election.written(lease, since, clock, random),
            What::Written(Err(())) => candidate.election.conflicted(clock, random),
            What::Step(_) => {}
        }
    }
}
