//! The accounting of every accepted span.

/// Why an accepted span was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Evicted to make room, oldest first.
    Overflow,
    /// Older than the maximum age.
    Expired,
    /// Permanently refused by the destination.
    Permanent,
    /// Still buffered when the process had to exit.
    Shutdown,
}

impl DropReason {
    /// Every reason, in the order of the ledger's counters.
    pub const ALL: [Self; 4] = [Self::Overflow, Self::Expired, Self::Permanent, Self::Shutdown];

    /// Returns the reason's name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Expired => "expired",
            Self::Permanent => "permanent",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Span counts since the process started. Always balanced: see [`Ledger::is_balanced`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Stored in the buffer and acknowledged to the application.
    pub accepted: u64,
    /// Accepted by the destination.
    pub sent: u64,
    /// Rejected by the destination in a response that accepted the request
    /// (`partial_success.rejected_spans`).
    pub rejected: u64,
    /// Queued in the buffer.
    pub buffered: u64,
    /// Being sent to the destination.
    pub in_flight: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Ledger {
    /// Counts `spans` as lost for `reason`. The caller subtracts them from `buffered` or
    /// `in_flight`.
    pub fn add_dropped(&mut self, reason: DropReason, spans: u64) {
        for (counter, each) in self.dropped.iter_mut().zip(DropReason::ALL) {
            if each == reason {
                *counter += spans;
            }
        }
    }

    /// Returns the spans lost for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops().filter(|(each, _)| *each == reason).map(|(_, spans)| spans).sum()
    }

    /// Returns every reason with the spans lost for it.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.into_iter().zip(self.dropped)
    }

    /// Returns the spans lost for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Returns whether accepted = sent + rejected + dropped + buffered + in flight.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let accounted =
            self.sent + self.rejected + self.dropped_total() + self.buffered + self.in_flight;
        self.accepted == accounted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_ledger_is_balanced() {
        assert!(Ledger::default().is_balanced());
    }

    #[test]
    fn a_dropped_span_counts_for_its_reason_only() {
        let mut ledger = Ledger { accepted: 3, buffered: 1, ..Ledger::default() };

        ledger.add_dropped(DropReason::Expired, 2);

        assert_eq!(ledger.dropped(DropReason::Expired), 2);
        assert_eq!(ledger.dropped(DropReason::Overflow), 0);
        assert_eq!(ledger.dropped_total(), 2);
        assert!(ledger.is_balanced());
    }

    #[test]
    fn a_span_that_is_not_counted_unbalances_the_ledger() {
        let ledger = Ledger { accepted: 2, sent: 1, ..Ledger::default() };

        assert!(!ledger.is_balanced());
    }

    #[test]
    fn every_reason_has_a_unique_name() {
        let mut names = DropReason::ALL.map(DropReason::as_str).to_vec();
        names.dedup();

        assert_eq!(names, ["overflow", "expired", "permanent", "shutdown"]);
    }
}
