//! Who leads: one candidate at a time, by a lease that is kept in a store all can write.
//!
//! As in Kubernetes' own `client-go`, a candidate never compares clocks with another: it takes over
//! when it has seen no renewal for the lease's duration by its own monotonic clock. A leader stops
//! earlier, when its last renewal that the store confirmed is [`LeaseTimes::renew_deadline`] old,
//! counted from before it was sent. So two never lead at once, as long as no clock runs half as
//! fast again as another. Every write names the version it replaces, and so fails if somebody else
//! came first.

use std::time::Duration;

/// The times of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// Time without a renewal after which others may take over.
    pub duration: Duration,
    /// Time since its last renewal after which a leader leads no more.
    pub renew_deadline: Duration,
    /// The longest time between two tries.
    pub retry: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// The longest duration that another's lease is granted.
const MAX_DURATION: Duration = Duration::from_mins(1);

/// The lease as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLease {
    /// Who holds it; `None` if it was given back.
    pub holder: Option<String>,
    /// The time its holder asks others to wait.
    pub duration: Duration,
    /// How often the holder changed.
    pub transitions: u32,
    /// Changes with every renewal; means nothing else.
    pub renewal: String,
    /// Changes with every write.
    pub version: String,
}

/// A lease to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who will hold it; `None` gives it back.
    pub holder: Option<String>,
    /// The time others wait.
    pub duration: Duration,
    /// How often the holder changed.
    pub transitions: u32,
    /// Whether it is another holder's than before.
    pub is_new_term: bool,
}

/// What a candidate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until this time.
    Wait(Duration),
    /// It asks the store for the lease.
    Read,
    /// It writes the lease.
    Write {
        /// What is written.
        claim: Claim,
        /// The version it replaces; `None` if there is to be none.
        over: Option<String>,
    },
}

/// One candidate's view. Times are those of its own monotonic clock; `random` is any number.
#[derive(Debug)]
pub struct Election {
    identity: String,
    times: LeaseTimes,
    known: Known,
    /// Another's lease, and when its last renewal was first seen.
    rival: Option<Rival>,
    /// Nothing is done before.
    due: Duration,
    /// It leads until then.
    until: Option<Duration>,
}

/// What the store has, as far as is known.
#[derive(Debug)]
enum Known {
    /// It must be asked.
    Nothing,
    /// There is no lease.
    Absent,
    /// This one.
    Present(StoredLease),
}

#[derive(Debug)]
struct Rival {
    lease: StoredLease,
    since: Duration,
}

impl Rival {
    /// When it may be replaced.
    fn expiry(&self, times: &LeaseTimes) -> Duration {
        self.since + self.lease.duration.min(MAX_DURATION).max(times.duration)
    }
}

impl Election {
    /// A candidate; `identity` must be no other's, not even of an earlier run.
    #[must_use]
    pub fn new(identity: String, times: LeaseTimes) -> Self {
        Self {
            identity,
            times,
            known: Known::Nothing,
            rival: None,
            due: Duration::ZERO,
            until: None,
        }
    }

    /// Returns until when it leads, unless it renews the lease before.
    #[must_use]
    pub fn leads_until(&self) -> Option<Duration> {
        self.until
    }

    /// Returns whether it leads.
    #[must_use]
    pub fn leads(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Returns what to do now.
    pub fn step(&mut self, now: Duration, random: u64) -> Step {
        if now < self.due {
            return Step::Wait(self.due);
        }
        let known = match &self.known {
            Known::Nothing => return Step::Read,
            Known::Absent => None,
            Known::Present(lease) => Some(lease),
        };
        if let Some(rival) = &self.rival {
            let expiry = rival.expiry(&self.times);
            if now < expiry {
                self.known = Known::Nothing;
                self.due = (now + self.pause(random)).min(expiry);
                return Step::Wait(self.due);
            }
        }
        Step::Write { claim: self.claim(known), over: known.map(|lease| lease.version.clone()) }
    }

    /// The store answered a [`Step::Read`].
    pub fn found(&mut self, lease: Option<StoredLease>, now: Duration) {
        match &lease {
            // Somebody removed it: whoever held it is given its time.
            None => {}
            Some(lease) if lease.holder.as_ref().is_none_or(|holder| *holder == self.identity) => {
                self.rival = None;
            }
            Some(lease) => {
                let is_known = |rival: &Rival| {
                    rival.lease.holder == lease.holder && rival.lease.renewal == lease.renewal
                };
                if !self.rival.as_ref().is_some_and(is_known) {
                    self.rival = Some(Rival { lease: lease.clone(), since: now });
                }
            }
        }
        if self.rival.is_some() || lease.as_ref().is_some_and(|lease| lease.holder.is_none()) {
            self.until = None;
        }
        self.known = lease.map_or(Known::Absent, Known::Present);
    }

    /// The store took a [`Step::Write`] that was sent at `sent`.
    pub fn written(&mut self, lease: StoredLease, sent: Duration, now: Duration, random: u64) {
        self.until = Some(sent + self.times.renew_deadline);
        self.rival = None;
        self.known = Known::Present(lease);
        self.due = now + self.pause(random);
    }

    /// The store refused a [`Step::Write`], because somebody else wrote before.
    pub fn conflicted(&mut self, now: Duration, random: u64) {
        self.known = Known::Nothing;
        self.due = now + self.pause(random) / 10;
    }

    /// The store did not answer: what was asked may have been done, or may yet be.
    pub fn failed(&mut self, now: Duration, random: u64) {
        self.known = Known::Nothing;
        self.due = now + self.pause(random) / 2;
    }

    /// It leads no more by its own will; returns what gives the lease back, where `lease` is what
    /// the store has.
    pub fn resign(&mut self, lease: Option<&StoredLease>) -> Option<Step> {
        self.until = None;
        let lease = lease.filter(|lease| lease.holder.as_ref() == Some(&self.identity))?;
        let claim = Claim {
            holder: None,
            duration: self.times.duration,
            transitions: lease.transitions,
            is_new_term: false,
        };
        Some(Step::Write { claim, over: Some(lease.version.clone()) })
    }

    fn claim(&self, over: Option<&StoredLease>) -> Claim {
        let is_new_term = over.is_none_or(|lease| lease.holder.as_ref() != Some(&self.identity));
        let before = over.map_or(0, |lease| lease.transitions);
        Claim {
            holder: Some(self.identity.clone()),
            duration: self.times.duration,
            transitions: before.saturating_add(u32::from(is_new_term && over.is_some())),
            is_new_term,
        }
    }

    /// Between three quarters and the whole of the time between tries.
    fn pause(&self, random: u64) -> Duration {
        let quarter = self.times.retry / 4;
        let nanos = u64::try_from(quarter.as_nanos()).unwrap_or(u64::MAX - 1);
        self.times.retry.saturating_sub(Duration::from_nanos(random % (nanos + 1)))
    }
}

#[cfg(test)]
mod tests;
