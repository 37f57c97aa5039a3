//! A gateway that takes so many spans a second and refuses what exceeds it, in one of several ways.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Duration;

/// What decides that a request exceeds the capacity.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Admission {
    /// The spans taken in this second.
    EachSecond,
    /// Tokens, of which there may be as many as are added in this time.
    TokenBucket(Duration),
    /// The requests being worked on; each worker has its share of the capacity.
    Workers(usize),
    /// What waits to be worked on: once a second it is decided, as a Collector's `memory_limiter`
    /// does, whether to take everything or, if more waits than can be done in this time, nothing.
    MemoryLimiter(Duration),
}

/// How a request fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Taken; the response comes after this time.
    Taken(Duration),
    Refused,
    /// There is nobody.
    Away,
}

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Second {
    pub(crate) attempts: u64,
    pub(crate) refused: u64,
    /// Spans in the attempts.
    pub(crate) offered: u64,
    /// Spans that the gateway was done with.
    pub(crate) processed: f64,
}

#[derive(Debug)]
pub(crate) struct Gateway {
    admission: Admission,
    /// Spans a second.
    pub(crate) capacity: f64,
    /// What a request costs beside its spans, in spans.
    request_cost: u64,
    /// When it is away.
    pub(crate) outages: Vec<Range<Duration>>,
    pub(crate) seconds: Vec<Second>,
    taken: u64,
    now: Duration,
    /// Spans of this second, tokens left, or spans that wait, as the admission has it.
    level: f64,
    refusing: bool,
    /// When each request that is worked on is done.
    busy_until: BinaryHeap<Reverse<Duration>>,
}

impl Gateway {
    pub(crate) fn new(
        admission: Admission,
        capacity: f64,
        request_cost: u64,
        outages: Vec<Range<Duration>>,
    ) -> Self {
        Self {
            admission,
            capacity,
            request_cost,
            outages,
            seconds: vec![],
            taken: 0,
            now: Duration::ZERO,
            level: 0.0,
            refusing: false,
            busy_until: BinaryHeap::new(),
        }
    }

    /// All spans taken.
    pub(crate) const fn processed(&self) -> u64 {
        self.taken
    }

    pub(crate) fn offer(&mut self, now: Duration, spans: u64) -> Verdict {
        if self.outages.iter().any(|outage| outage.contains(&now)) {
            return Verdict::Away;
        }
        self.advance(now);
        let cost = (spans + self.request_cost) as f64;
        let service = self.admit(cost);
        let queues = matches!(self.admission, Admission::MemoryLimiter(_));
        let second = self.second();
        second.attempts += 1;
        second.offered += spans;
        let Some(service) = service else {
            second.refused += 1;
            return Verdict::Refused;
        };
        if !queues {
            second.processed += spans as f64;
        }
        self.taken += spans;
        Verdict::Taken(service)
    }

    /// Lets the time pass.
    fn advance(&mut self, now: Duration) {
        let gained = now.saturating_sub(self.now).as_secs_f64() * self.capacity;
        let is_new_second = now.as_secs() != self.now.as_secs();
        self.now = now;
        match self.admission {
            Admission::EachSecond if is_new_second => self.level = 0.0,
            Admission::EachSecond => {}
            Admission::TokenBucket(depth) => {
                self.level = (self.level + gained).min(depth.as_secs_f64() * self.capacity);
            }
            Admission::Workers(_) => {
                while self.busy_until.peek().is_some_and(|done| done.0 <= now) {
                    self.busy_until.pop();
                }
            }
            Admission::MemoryLimiter(limit) => {
                let done = self.level.min(gained);
                self.level -= done;
                self.second().processed += done;
                if is_new_second {
                    self.refusing = self.level > limit.as_secs_f64() * self.capacity;
                }
            }
        }
    }

    /// Returns how long the work takes, if there is room for it.
    fn admit(&mut self, cost: f64) -> Option<Duration> {
        match self.admission {
            Admission::EachSecond => {
                let fits = self.level + cost <= self.capacity;
                fits.then(|| self.level += cost)?;
            }
            Admission::TokenBucket(_) => {
                let fits = cost <= self.level;
                fits.then(|| self.level -= cost)?;
            }
            Admission::MemoryLimiter(_) => {
                (!self.refusing).then(|| self.level += cost)?;
            }
            Admission::Workers(workers) => {
                let service = Duration::from_secs_f64(cost * workers as f64 / self.capacity);
                let is_free = self.busy_until.len() < workers;
                is_free.then(|| self.busy_until.push(Reverse(self.now + service)))?;
                return Some(service);
            }
        }
        Some(Duration::ZERO)
    }

    fn second(&mut self) -> &mut Second {
        let index = usize::try_from(self.now.as_secs()).unwrap();
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, Second::default());
        }
        &mut self.seconds[index]
    }
}
