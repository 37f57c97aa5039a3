//! The progress of a rollout, for people.

use std::fmt;

use super::{Blocker, OwnerRollout, RolloutSummary};
use crate::domain::text::{join_limited, pluralize};

/// Maximum number of owners that a summary names.
const MAX_NAMED: usize = 5;

impl RolloutSummary {
    /// Returns the summary of the states of all owners, each with a name for people.
    pub fn of<'a, K: fmt::Display + 'a>(
        owners: impl IntoIterator<Item = (&'a K, &'a OwnerRollout)>,
    ) -> Self {
        let (mut restarting, mut waiting) = (0, 0);
        let mut blocked = vec![];
        let mut failed = None;
        for (owner, rollout) in owners {
            match rollout {
                OwnerRollout::Waiting => waiting += 1,
                OwnerRollout::Progressing { .. } => restarting += 1,
                OwnerRollout::Complete { .. } => {}
                OwnerRollout::Failed(why) => failed = failed.or(Some(format!("{owner}: {why}"))),
                OwnerRollout::Blocked(why) => blocked.push(format!("{owner} ({why})")),
            }
        }
        if let Some(failed) = failed {
            return Self::Halted(failed);
        }
        let names = join_limited(blocked.iter().map(String::as_str), MAX_NAMED);
        match (restarting + waiting, blocked.is_empty()) {
            (0, true) => Self::Complete,
            (0, false) => Self::Blocked(names),
            (_, is_all) => {
                let text = format!(
                    "{} restarting, {waiting} to follow",
                    pluralize(restarting, "workload")
                );
                Self::Restarting(if is_all { text } else { format!("{text}; waiting for {names}") })
            }
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherRollout => f.write_str("a rollout of its own is in progress"),
            Self::FailedRollout(why) => write!(f, "a rollout of its own has failed: {why}"),
            Self::NoEffect(why) => f.write_str(why),
            Self::BrokenPods => f.write_str(
                "its pods do not start, and it creates others only once they are deleted",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const COMPLETE: OwnerRollout = OwnerRollout::Complete { since: Duration::ZERO };
    const PROGRESSING: OwnerRollout = OwnerRollout::Progressing { since: Duration::ZERO };

    fn paused() -> OwnerRollout {
        OwnerRollout::Blocked(Blocker::NoEffect("it is paused"))
    }

    fn summary(owners: &[(&str, OwnerRollout)]) -> RolloutSummary {
        RolloutSummary::of(owners.iter().map(|(owner, rollout)| (owner, rollout)))
    }

    #[test]
    fn a_rollout_without_an_owner_that_is_left_is_complete() {
        assert_eq!(summary(&[]), RolloutSummary::Complete);
        assert_eq!(summary(&[("a", COMPLETE)]), RolloutSummary::Complete);
    }

    #[test]
    fn owners_that_restart_and_follow_are_counted_and_those_that_are_blocked_are_named() {
        let owners = [("a", PROGRESSING), ("b", OwnerRollout::Waiting), ("c", COMPLETE)];
        assert_eq!(
            summary(&owners),
            RolloutSummary::Restarting("1 workload restarting, 1 to follow".into())
        );
        assert_eq!(
            summary(&[("a", PROGRESSING), ("b", paused())]),
            RolloutSummary::Restarting(
                "1 workload restarting, 0 to follow; waiting for b (it is paused)".into()
            )
        );
    }

    #[test]
    fn each_blocked_owner_is_named_with_the_reason_up_to_a_limit() {
        let other = OwnerRollout::Blocked(Blocker::OtherRollout);
        let failed = OwnerRollout::Blocked(Blocker::FailedRollout("too slow".into()));

        assert_eq!(
            summary(&[("a", paused()), ("b", other), ("c", failed)]),
            RolloutSummary::Blocked(
                "a (it is paused), b (a rollout of its own is in progress), c (a rollout of its own \
                 has failed: too slow)"
                    .into()
            )
        );
        let many = vec![("x", paused()); 100];
        let RolloutSummary::Blocked(text) = summary(&many) else { panic!("not blocked") };
        assert!(text.ends_with("and 95 more"), "{text}");
    }

    #[test]
    fn the_first_failure_halts_whatever_else_is_left() {
        let owners = [
            ("a", OwnerRollout::Waiting),
            ("b", OwnerRollout::Failed("crashes".into())),
            ("c", OwnerRollout::Failed("too".into())),
        ];
        assert_eq!(summary(&owners), RolloutSummary::Halted("b: crashes".into()));
    }
}
