//! Leader election by a lease in a store that every replica can write.
//!
//! As in Kubernetes' own `client-go`, replicas never compare their clocks: a replica takes over when
//! it has observed no renewal for the lease's duration by its own monotonic clock. A leader stops
//! earlier: [`ElectionTimings::renew_deadline`] after sending its last confirmed renewal. Two replicas thus
//! never lead at once, as long as no clock runs 1.5 times as fast as another. Every write names
//! the version it replaces, and fails if another replica wrote first.
//!
//! A replica that does not lead is notified of renewals by the store, and reads the lease only when
//! none has come for longer than a leader pauses. Notifications may be lost, late or outdated: they
//! only ever prolong the wait for the lease, or make the replica read it.

use std::time::Duration;

/// The times of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElectionTimings {
    /// Time without a renewal after which others may take over.
    pub duration: Duration,
    /// Time since its last renewal after which a leader stops leading.
    pub renew_deadline: Duration,
    /// Time between two renewals.
    pub renew_period: Duration,
    /// The longest time between two attempts of a replica that does not lead, and after failures.
    pub retry_period: Duration,
}

impl Default for ElectionTimings {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            // An outage of six seconds just before a renewal still leaves time for a retry.
            renew_period: Duration::from_secs(3),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Maximum duration of another holder's lease that is respected; a longer one is cut to it.
const MAX_LEASE_DURATION: Duration = Duration::from_mins(1);

/// How much longer than a renewal takes a notification of it may be underway before it is missed.
const NOTIFICATION_DELAY: Duration = Duration::from_secs(1);

/// The lease as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLease {
    /// The identity of its holder; `None` if it was released.
    pub holder: Option<String>,
    /// How long others have to wait after its last renewal.
    pub duration: Duration,
    /// The number of times that the holder changed.
    pub transitions: u32,
    /// Changes with every renewal; only compared for equality.
    pub renew_time: String,
    /// Changes with every write.
    pub version: String,
}

/// The lease to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseUpdate {
    /// The identity of the new holder; `None` releases the lease.
    pub holder: Option<String>,
    /// How long others have to wait after this write.
    pub duration: Duration,
    /// The number of times that the holder changed.
    pub transitions: u32,
    /// Whether another replica acquires the lease with this write.
    pub changes_holder: bool,
}

/// What a replica does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElectionAction {
    /// Wait until this time.
    Wait(Duration),
    /// Read the lease from the store.
    Read,
    /// Write the lease.
    Write {
        /// The new lease.
        update: LeaseUpdate,
        /// The version to replace; `None` to create the lease.
        expected_version: Option<String>,
    },
}

/// The election as one replica sees it. Times are those of its own monotonic clock; `random` is any
/// number.
#[derive(Debug)]
pub struct Election {
    identity: String,
    times: ElectionTimings,
    lease: KnownLease,
    /// The lease of another holder, and when its last renewal was first observed.
    observed_holder: Option<ObservedHolder>,
    /// No request is sent before this time.
    next_attempt_at: Duration,
    /// This replica leads until then.
    leads_until: Option<Duration>,
}

/// What is known of the lease in the store.
#[derive(Debug)]
enum KnownLease {
    /// It must be read.
    Unknown,
    /// It does not exist.
    Absent,
    /// It has this state.
    Present(StoredLease),
}

#[derive(Debug)]
struct ObservedHolder {
    lease: StoredLease,
    first_seen: Duration,
    /// The store notified this replica of the renewal, so it will of the next one.
    is_notified: bool,
}

impl ObservedHolder {
    /// Returns when it may be replaced.
    fn expiry(&self, times: &ElectionTimings) -> Duration {
        self.first_seen + self.lease.duration.min(MAX_LEASE_DURATION).max(times.duration)
    }

    /// Returns until when its next renewal is not missed.
    fn expected_renewal(&self, times: &ElectionTimings) -> Duration {
        if !self.is_notified {
            return self.first_seen;
        }
        self.first_seen + times.renew_period + NOTIFICATION_DELAY
    }

    fn has_renewal(&self, lease: &StoredLease) -> bool {
        self.lease.holder == lease.holder && self.lease.renew_time == lease.renew_time
    }
}

impl Election {
    /// Creates the election of one replica. `identity` must be unique, even among earlier runs.
    #[must_use]
    pub fn new(identity: String, times: ElectionTimings) -> Self {
        Self {
            identity,
            times,
            lease: KnownLease::Unknown,
            observed_holder: None,
            next_attempt_at: Duration::ZERO,
            leads_until: None,
        }
    }

    /// Returns when the leadership of this replica ends if it does not renew the lease; `None` if it does
    /// not lead.
    #[must_use]
    pub fn leads_until(&self) -> Option<Duration> {
        self.leads_until
    }

    /// Returns whether this replica leads.
    #[must_use]
    pub fn is_leader(&self, now: Duration) -> bool {
        self.leads_until.is_some_and(|until| now < until)
    }

    /// Returns what to do now.
    pub fn next_action(&mut self, now: Duration, random: u64) -> ElectionAction {
        if now < self.next_attempt_at {
            return ElectionAction::Wait(self.next_attempt_at);
        }
        let lease = match &self.lease {
            KnownLease::Unknown => return ElectionAction::Read,
            KnownLease::Absent => None,
            KnownLease::Present(lease) => Some(lease),
        };
        if let Some(holder) = &self.observed_holder {
            let expiry = holder.expiry(&self.times);
            if now < expiry {
                self.lease = KnownLease::Unknown;
                let expected_renewal = holder.expected_renewal(&self.times);
                let retry = now + self.jittered_retry_period(random);
                self.next_attempt_at = retry.max(expected_renewal).min(expiry);
                return ElectionAction::Wait(self.next_attempt_at);
            }
        }
        ElectionAction::Write {
            update: self.lease_update(lease),
            expected_version: lease.map(|lease| lease.version.clone()),
        }
    }

    /// The store answered an [`ElectionAction::Read`].
    pub fn on_read(&mut self, lease: Option<StoredLease>, now: Duration) {
        match &lease {
            // Somebody removed it: an observed holder keeps its time.
            None => {}
            Some(lease) if lease.holder.as_ref().is_none_or(|holder| *holder == self.identity) => {
                self.observed_holder = None;
            }
            Some(lease) => self.observe_holder(lease, now, false),
        }
        if self.observed_holder.is_some()
            || lease.as_ref().is_some_and(|lease| lease.holder.is_none())
        {
            self.leads_until = None;
        }
        self.lease = lease.map_or(KnownLease::Absent, KnownLease::Present);
    }

    /// The store notified this replica of the state of the lease, which may be outdated.
    pub fn on_notified(&mut self, lease: Option<&StoredLease>, now: Duration) {
        // A leader learns from its own renewals.
        if self.leads_until.is_some() {
            return;
        }
        let is_held = |lease: &&StoredLease| lease.holder.is_some();
        match lease.filter(is_held) {
            Some(lease) if lease.holder.as_ref() == Some(&self.identity) => {}
            Some(lease) => {
                self.observe_holder(lease, now, true);
                // What is known of the lease is as old as the last read.
                self.lease = KnownLease::Unknown;
                if let Some(holder) = &self.observed_holder {
                    let expected_renewal = holder.expected_renewal(&self.times);
                    self.next_attempt_at = self.next_attempt_at.max(expected_renewal);
                }
            }
            None => {
                self.lease = KnownLease::Unknown;
                self.next_attempt_at = now;
            }
        }
    }

    /// Notes the lease of another holder, if this renewal was not seen before.
    fn observe_holder(&mut self, lease: &StoredLease, now: Duration, is_notified: bool) {
        if self.observed_holder.as_ref().is_some_and(|holder| holder.has_renewal(lease)) {
            return;
        }
        self.observed_holder =
            Some(ObservedHolder { lease: lease.clone(), first_seen: now, is_notified });
    }

    /// The store confirmed an [`ElectionAction::Write`] that was sent at `sent`.
    pub fn on_written(&mut self, lease: StoredLease, sent: Duration, now: Duration) {
        self.leads_until = Some(sent + self.times.renew_deadline);
        self.observed_holder = None;
        self.lease = KnownLease::Present(lease);
        self.next_attempt_at = now + self.times.renew_period;
    }

    /// The store refused an [`ElectionAction::Write`] because another replica wrote first.
    pub fn on_conflict(&mut self, now: Duration, random: u64) {
        self.lease = KnownLease::Unknown;
        self.next_attempt_at = now + self.jittered_retry_period(random) / 10;
    }

    /// The request failed. The store may have executed it, or may still do so.
    pub fn on_failure(&mut self, now: Duration, random: u64) {
        self.lease = KnownLease::Unknown;
        self.next_attempt_at = now + self.jittered_retry_period(random) / 2;
    }

    /// Stops leading. Returns the update that releases `lease`, the lease in the store, and the version
    /// it replaces; `None` if this replica does not hold it.
    pub fn resign(&mut self, lease: Option<StoredLease>) -> Option<(LeaseUpdate, String)> {
        self.leads_until = None;
        let lease = lease.filter(|lease| lease.holder.as_ref() == Some(&self.identity))?;
        let update = LeaseUpdate {
            holder: None,
            duration: self.times.duration,
            transitions: lease.transitions,
            changes_holder: false,
        };
        Some((update, lease.version))
    }

    fn lease_update(&self, current: Option<&StoredLease>) -> LeaseUpdate {
        let is_own = |lease: &StoredLease| lease.holder.as_ref() == Some(&self.identity);
        let changes_holder = !current.is_some_and(is_own);
        let transitions = current.map_or(0, |lease| lease.transitions);
        LeaseUpdate {
            holder: Some(self.identity.clone()),
            duration: self.times.duration,
            transitions: transitions.saturating_add(u32::from(changes_holder && current.is_some())),
            changes_holder,
        }
    }

    /// Returns between three quarters and the whole of the retry period.
    fn jittered_retry_period(&self, random: u64) -> Duration {
        let quarter = self.times.retry_period / 4;
        let nanos = u64::try_from(quarter.as_nanos()).unwrap_or(u64::MAX - 1);
        self.times.retry_period.saturating_sub(Duration::from_nanos(random % (nanos + 1)))
    }
}

#[cfg(test)]
mod tests;
