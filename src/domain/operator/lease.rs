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
    pub retry_period: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// The longest duration that another's lease is granted.
const MAX_LEASE_DURATION: Duration = Duration::from_mins(1);

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
    pub renew_time: String,
    /// Changes with every write.
    pub version: String,
}

/// A lease to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseUpdate {
    /// Who will hold it; `None` gives it back.
    pub holder: Option<String>,
    /// The time others wait.
    pub duration: Duration,
    /// How often the holder changed.
    pub transitions: u32,
    /// Whether it is another holder's than before.
    pub changes_holder: bool,
}

/// What a candidate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElectionAction {
    /// Nothing, until this time.
    Wait(Duration),
    /// It asks the store for the lease.
    Read,
    /// It writes the lease.
    Write {
        /// What is written.
        update: LeaseUpdate,
        /// The version it replaces; `None` if there is to be none.
        expected_version: Option<String>,
    },
}

/// One candidate's view. Times are those of its own monotonic clock; `random` is any number.
#[derive(Debug)]
pub struct Election {
    identity: String,
    times: LeaseTimes,
    lease: KnownLease,
    /// Another's lease, and when its last renewal was first seen.
    observed_holder: Option<ObservedHolder>,
    /// Nothing is done before.
    next_attempt_at: Duration,
    /// It leads until then.
    leads_until: Option<Duration>,
}

/// What the store has, as far as is known.
#[derive(Debug)]
enum KnownLease {
    /// It must be asked.
    Unknown,
    /// There is no lease.
    Absent,
    /// This one.
    Present(StoredLease),
}

#[derive(Debug)]
struct ObservedHolder {
    lease: StoredLease,
    first_seen: Duration,
}

impl ObservedHolder {
    /// When it may be replaced.
    fn expiry(&self, times: &LeaseTimes) -> Duration {
        self.first_seen + self.lease.duration.min(MAX_LEASE_DURATION).max(times.duration)
    }
}

impl Election {
    /// A candidate; `identity` must be no other's, not even of an earlier run.
    #[must_use]
    pub fn new(identity: String, times: LeaseTimes) -> Self {
        Self {
            identity,
            times,
            lease: KnownLease::Unknown,
            observed_holder: None,
            next_attempt_at: Duration::ZERO,
            leads_until: None,
        }
    }

    /// Returns until when it leads, unless it renews the lease before.
    #[must_use]
    pub fn leads_until(&self) -> Option<Duration> {
        self.leads_until
    }

    /// Returns whether it leads.
    #[must_use]
    pub fn is_leader(&self, now: Duration) -> bool {
        self.leads_until.is_some_and(|until| now < until)
    }

    /// Returns what to do now.
    pub fn next_action(&mut self, now: Duration, random: u64) -> ElectionAction {
        if now < self.next_attempt_at {
            return ElectionAction::Wait(self.next_attempt_at);
        }
        let known = match &self.lease {
            KnownLease::Unknown => return ElectionAction::Read,
            KnownLease::Absent => None,
            KnownLease::Present(lease) => Some(lease),
        };
        if let Some(rival) = &self.observed_holder {
            let expiry = rival.expiry(&self.times);
            if now < expiry {
                self.lease = KnownLease::Unknown;
                self.next_attempt_at = (now + self.jittered_retry_period(random)).min(expiry);
                return ElectionAction::Wait(self.next_attempt_at);
            }
        }
        ElectionAction::Write {
            update: self.lease_update(known),
            expected_version: known.map(|lease| lease.version.clone()),
        }
    }

    /// The store answered a [`ElectionAction::Read`].
    pub fn on_read(&mut self, lease: Option<StoredLease>, now: Duration) {
        match &lease {
            // Somebody removed it: whoever held it is given its time.
            None => {}
            Some(lease) if lease.holder.as_ref().is_none_or(|holder| *holder == self.identity) => {
                self.observed_holder = None;
            }
            Some(lease) => {
                let is_known = |rival: &ObservedHolder| {
                    rival.lease.holder == lease.holder && rival.lease.renew_time == lease.renew_time
                };
                if !self.observed_holder.as_ref().is_some_and(is_known) {
                    self.observed_holder =
                        Some(ObservedHolder { lease: lease.clone(), first_seen: now });
                }
            }
        }
        if self.observed_holder.is_some()
            || lease.as_ref().is_some_and(|lease| lease.holder.is_none())
        {
            self.leads_until = None;
        }
        self.lease = lease.map_or(KnownLease::Absent, KnownLease::Present);
    }

    /// The store took a [`ElectionAction::Write`] that was sent at `sent`.
    pub fn on_written(&mut self, lease: StoredLease, sent: Duration, now: Duration, random: u64) {
        self.leads_until = Some(sent + self.times.renew_deadline);
        self.observed_holder = None;
        self.lease = KnownLease::Present(lease);
        self.next_attempt_at = now + self.jittered_retry_period(random);
    }

    /// The store refused a [`ElectionAction::Write`], because somebody else wrote before.
    pub fn on_conflict(&mut self, now: Duration, random: u64) {
        self.lease = KnownLease::Unknown;
        self.next_attempt_at = now + self.jittered_retry_period(random) / 10;
    }

    /// The store did not answer: what was asked may have been done, or may yet be.
    pub fn on_failure(&mut self, now: Duration, random: u64) {
        self.lease = KnownLease::Unknown;
        self.next_attempt_at = now + self.jittered_retry_period(random) / 2;
    }

    /// It leads no more by its own will; returns what gives the lease back, where `lease` is what
    /// the store has.
    pub fn resign(&mut self, lease: Option<&StoredLease>) -> Option<ElectionAction> {
        self.leads_until = None;
        let lease = lease.filter(|lease| lease.holder.as_ref() == Some(&self.identity))?;
        let claim = LeaseUpdate {
            holder: None,
            duration: self.times.duration,
            transitions: lease.transitions,
            changes_holder: false,
        };
        Some(ElectionAction::Write { update: claim, expected_version: Some(lease.version.clone()) })
    }

    fn lease_update(&self, over: Option<&StoredLease>) -> LeaseUpdate {
        let is_new_term = over.is_none_or(|lease| lease.holder.as_ref() != Some(&self.identity));
        let before = over.map_or(0, |lease| lease.transitions);
        LeaseUpdate {
            holder: Some(self.identity.clone()),
            duration: self.times.duration,
            transitions: before.saturating_add(u32::from(is_new_term && over.is_some())),
            changes_holder: is_new_term,
        }
    }

    /// Between three quarters and the whole of the time between tries.
    fn jittered_retry_period(&self, random: u64) -> Duration {
        let quarter = self.times.retry_period / 4;
        let nanos = u64::try_from(quarter.as_nanos()).unwrap_or(u64::MAX - 1);
        self.times.retry_period.saturating_sub(Duration::from_nanos(random % (nanos + 1)))
    }
}

#[cfg(test)]
mod tests;
