//! What one run of the receiver leaves behind at its end, for the operator to report.

use super::ledger::DropReason;

/// Why a span that the receiver got never arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// Accepted and then dropped.
    Dropped(DropReason),
    /// Rejected by the destination in a response that accepted the request.
    Rejected,
    /// Never accepted, because invalid or too large.
    Refused,
}

impl LossReason {
    /// Every reason, in the order of the ledger's counters.
    pub const ALL: [Self; 6] = [
        Self::Dropped(DropReason::Overflow),
        Self::Dropped(DropReason::Expired),
        Self::Dropped(DropReason::Permanent),
        Self::Dropped(DropReason::Shutdown),
        Self::Rejected,
        Self::Refused,
    ];

    /// Returns the reason's name, which is that in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped(reason) => reason.as_str(),
            Self::Rejected => "rejected",
            Self::Refused => "refused",
        }
    }

    /// Returns the reason with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// Span counts of one run that has ended: each span either was delivered or is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinalLedger {
    delivered: u64,
    lost: [u64; LossReason::ALL.len()],
}

impl FinalLedger {
    /// Creates the ledger of a run in which the destination accepted `delivered` spans.
    #[must_use]
    pub fn of_delivered(delivered: u64) -> Self {
        Self { delivered, ..Self::default() }
    }

    /// Counts `spans` as lost for `reason`.
    pub fn add_lost(&mut self, reason: LossReason, spans: u64) {
        for (counter, each) in self.lost.iter_mut().zip(LossReason::ALL) {
            if each == reason {
                *counter = counter.saturating_add(spans);
            }
        }
    }

    /// Returns the spans that the receiver got; `None` if there are too many to count.
    #[must_use]
    pub fn received(&self) -> Option<u64> {
        self.lost.iter().try_fold(self.delivered, |sum, spans| sum.checked_add(*spans))
    }

    /// Returns the spans that the destination accepted.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Returns the reasons for which spans are lost, with their number.
    pub fn losses(&self) -> impl Iterator<Item = (LossReason, u64)> {
        LossReason::ALL.into_iter().zip(self.lost).filter(|(_, spans)| *spans > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_name_and_none_by_another() {
        for reason in LossReason::ALL {
            assert_eq!(LossReason::from_name(reason.as_str()), Some(reason));
        }
        assert_eq!(LossReason::from_name("Overflow"), None);
        assert_eq!(LossReason::from_name(""), None);
    }

    #[test]
    fn what_was_received_was_delivered_or_is_lost() {
        let mut ledger = FinalLedger::of_delivered(5);
        ledger.add_lost(LossReason::Rejected, 2);
        ledger.add_lost(LossReason::Dropped(DropReason::Shutdown), 1);
        ledger.add_lost(LossReason::Dropped(DropReason::Shutdown), 3);

        let losses: Vec<_> = ledger.losses().collect();
        let unsent = LossReason::Dropped(DropReason::Shutdown);
        assert_eq!(losses, [(unsent, 4), (LossReason::Rejected, 2)]);
        assert_eq!((ledger.received(), ledger.delivered()), (Some(11), 5));
    }

    #[test]
    fn counts_without_a_sum_are_told_apart() {
        let mut ledger = FinalLedger::of_delivered(u64::MAX);
        assert_eq!(ledger.received(), Some(u64::MAX));

        ledger.add_lost(LossReason::Refused, 1);

        assert_eq!(ledger.received(), None);
    }
}
