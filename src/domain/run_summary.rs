//! What became of the spans of one run of the receiver.

use std::fmt;

use super::final_ledger::{FinalLedger, LossReason};
use super::ledger::{DropReason, Ledger};

/// The accounting of a run that ends now: spans that are still buffered or in flight are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunSummary {
    /// The accounting of every accepted span.
    pub ledger: Ledger,
    /// Spans that could never be accepted, and are lost unless their sender changes them.
    pub unacceptable: u64,
    /// Spans that were refused for the moment: their sender may have sent them again.
    pub turned_away: u64,
}

impl RunSummary {
    /// Returns the spans that did not arrive, as far as this process can know.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.ledger.rejected + self.ledger.dropped_total() + self.pending() + self.unacceptable
    }

    /// Returns what is left of the accounting once the process has ended.
    #[must_use]
    pub fn final_ledger(&self) -> FinalLedger {
        let mut last = FinalLedger::of_delivered(self.ledger.sent);
        for (reason, spans) in self.ledger.drops() {
            last.add_lost(LossReason::Dropped(reason), spans);
        }
        last.add_lost(LossReason::Dropped(DropReason::Shutdown), self.pending());
        last.add_lost(LossReason::Rejected, self.ledger.rejected);
        last.add_lost(LossReason::Refused, self.unacceptable);
        last
    }

    /// Returns the spans that are still here.
    const fn pending(&self) -> u64 {
        self.ledger.buffered + self.ledger.in_flight
    }

    /// Returns every reason other than the end of the process with the spans dropped for it.
    fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        self.ledger.drops().filter(|(reason, spans)| *reason != DropReason::Shutdown && *spans > 0)
    }
}

impl fmt::Display for RunSummary {
    /// Writes the accounting in one sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ledger { accepted, sent, rejected, .. } = self.ledger;
        let unsent = self.pending() + self.ledger.dropped(DropReason::Shutdown);
        let dropped: u64 = self.drops().map(|(_, spans)| spans).sum();
        match self.lost() {
            0 => f.write_str("nothing was lost")?,
            1 => f.write_str("1 span was lost")?,
            lost => write!(f, "{lost} spans were lost")?,
        }
        write!(f, ": accepted {accepted}, sent {sent}, rejected {rejected}, dropped {dropped}")?;
        for (index, (reason, spans)) in self.drops().enumerate() {
            let before = if index == 0 { " (" } else { ", " };
            write!(f, "{before}{} {spans}", reason.as_str())?;
        }
        if dropped > 0 {
            f.write_str(")")?;
        }
        write!(f, ", unsent {unsent}")?;
        if self.unacceptable > 0 {
            write!(f, "; not accepted, because invalid or too large: {}", self.unacceptable)?;
        }
        if self.turned_away > 0 {
            write!(f, "; turned away for their sender to send again: {}", self.turned_away)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(fill: impl FnOnce(&mut Ledger)) -> Ledger {
        let mut ledger = Ledger::default();
        fill(&mut ledger);
        ledger
    }

    #[test]
    fn a_run_that_sent_everything_lost_nothing() {
        let ledger = ledger(|ledger| (ledger.accepted, ledger.sent) = (5, 5));
        let summary = RunSummary { ledger, ..RunSummary::default() };

        assert_eq!(summary.lost(), 0);
        assert_eq!(
            summary.to_string(),
            "nothing was lost: accepted 5, sent 5, rejected 0, dropped 0, unsent 0"
        );
    }

    #[test]
    fn every_kind_of_loss_counts_and_is_named() {
        let ledger = ledger(|ledger| {
            (ledger.accepted, ledger.sent, ledger.rejected) = (100, 60, 3);
            (ledger.buffered, ledger.in_flight) = (4, 5);
            ledger.add_dropped(DropReason::Overflow, 11);
            ledger.add_dropped(DropReason::Permanent, 10);
            ledger.add_dropped(DropReason::Shutdown, 7);
        });
        let summary = RunSummary { ledger, unacceptable: 2, turned_away: 6 };

        assert_eq!(summary.lost(), 42);
        let losses: Vec<_> = summary
            .final_ledger()
            .losses()
            .map(|(reason, spans)| (reason.as_str(), spans))
            .collect();
        assert_eq!(
            losses,
            [
                ("overflow", 11),
                ("permanent", 10),
                ("shutdown", 16),
                ("rejected", 3),
                ("refused", 2)
            ]
        );
        assert_eq!(summary.final_ledger().received(), Some(60 + 42));
        assert_eq!(
            summary.to_string(),
            "42 spans were lost: accepted 100, sent 60, rejected 3, dropped 21 (overflow 11, \
             permanent 10), unsent 16; not accepted, because invalid or too large: 2; turned away \
             for their sender to send again: 6"
        );
    }

    #[test]
    fn spans_that_were_turned_away_are_mentioned_but_not_counted_as_lost() {
        let summary = RunSummary { turned_away: 6, ..RunSummary::default() };

        assert_eq!(summary.lost(), 0);
        assert!(summary.to_string().ends_with("turned away for their sender to send again: 6"));
    }
}
