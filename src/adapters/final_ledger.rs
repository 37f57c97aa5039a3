//! The final ledger as text: one line of JSON, which the receiver leaves as its container's termination
//! message and the operator reads from the status of the pod.
//!
//! ```json
//! {"received":1200,"delivered":1180,"lost":{"overflow":15,"shutdown":5}}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::final_ledger::{FinalLedger, LossReason};

/// Maximum bytes of a termination message that the kubelet reads.
pub const MAX_MESSAGE_BYTES: usize = 4096;

/// The members of the JSON object; reasons without a loss are left out.
#[derive(Serialize, Deserialize)]
struct Message<'a> {
    received: u64,
    delivered: u64,
    #[serde(borrow)]
    lost: BTreeMap<&'a str, u64>,
}

/// Returns the termination message of a run.
#[must_use]
pub fn to_message(ledger: &FinalLedger) -> String {
    let message = Message {
        received: ledger.received().unwrap_or(u64::MAX),
        delivered: ledger.delivered(),
        lost: ledger.losses().map(|(reason, spans)| (reason.as_str(), spans)).collect(),
    };
    // Numbers with names: nothing that JSON cannot express.
    serde_json::to_string(&message).unwrap_or_default()
}

/// Reads a termination message; `None` if it is anything but a final ledger.
///
/// Whoever may create a pod may write its message, so nothing of it is trusted: all that is returned is
/// numbers that add up, with reasons that are known.
#[must_use]
pub fn from_message(text: &str) -> Option<FinalLedger> {
    if text.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    let message: Message<'_> = serde_json::from_str(text).ok()?;
    let mut ledger = FinalLedger::of_delivered(message.delivered);
    for (name, spans) in message.lost {
        ledger.add_lost(LossReason::from_name(name)?, spans);
    }
    (ledger.received() == Some(message.received)).then_some(ledger)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ledger::DropReason;

    fn ledger(delivered: u64, losses: impl IntoIterator<Item = (LossReason, u64)>) -> FinalLedger {
        let mut ledger = FinalLedger::of_delivered(delivered);
        losses.into_iter().for_each(|(reason, spans)| ledger.add_lost(reason, spans));
        ledger
    }

    #[test]
    fn a_ledger_is_one_line_without_the_reasons_that_lost_nothing() {
        let dropped = LossReason::Dropped;
        let losses = [(dropped(DropReason::Overflow), 15), (dropped(DropReason::Shutdown), 5)];

        assert_eq!(
            to_message(&ledger(1180, losses)),
            r#"{"received":1200,"delivered":1180,"lost":{"overflow":15,"shutdown":5}}"#
        );
        assert_eq!(to_message(&ledger(30, [])), r#"{"received":30,"delivered":30,"lost":{}}"#);
    }

    #[test]
    fn the_largest_ledger_fits_into_a_termination_message() {
        let largest = ledger(u64::MAX, LossReason::ALL.map(|reason| (reason, u64::MAX)));

        assert!(to_message(&largest).len() < MAX_MESSAGE_BYTES / 8);
    }

    #[test]
    fn what_is_no_final_ledger_is_refused() {
        let padded = |spaces: usize| {
            let text = r#"{"received":0,"delivered":0,"lost":{}}"#;
            format!("{text}{}", " ".repeat(spaces - text.len()))
        };
        assert!(from_message(&padded(MAX_MESSAGE_BYTES)).is_some());
        let too_long = padded(MAX_MESSAGE_BYTES + 1);
        let forged = [
            "",
            "the receiver has hung for a minute: ended, to be restarted; what was buffered is lost",
            "ended; nothing was lost: accepted 30, sent 30, rejected 0, dropped 0, unsent 0",
            r"{}",
            r#"{"received":1,"delivered":1}"#,
            r#"{"received":2,"delivered":1,"lost":{}}"#,
            r#"{"received":2,"delivered":1,"lost":{"mood":1}}"#,
            r#"{"received":2,"delivered":1,"lost":{"Overflow":1}}"#,
            r#"{"received":0,"delivered":1,"lost":{"overflow":-1}}"#,
            r#"{"received":1.0,"delivered":1.0,"lost":{}}"#,
            r#"{"received":"1","delivered":"1","lost":{}}"#,
            r#"{"received":18446744073709551616,"delivered":18446744073709551616,"lost":{}}"#,
            r#"{"received":0,"delivered":18446744073709551615,"lost":{"overflow":1}}"#,
            r#"{"received":1,"delivered":1,"lost":{}} and more"#,
            &too_long,
        ];
        for text in forged {
            assert_eq!(from_message(text), None, "{text}");
        }
    }

    #[test]
    fn members_of_later_versions_are_ignored() {
        let later = r#"{"received":3,"delivered":3,"lost":{},"seconds":9}"#;

        assert_eq!(from_message(later), Some(ledger(3, [])));
    }

    proptest! {
        #[test]
        fn a_ledger_that_is_written_is_read_again(
            delivered in 0..u64::MAX / 8,
            lost in proptest::collection::vec(0..u64::MAX / 8, LossReason::ALL.len()),
        ) {
            let written = ledger(delivered, LossReason::ALL.into_iter().zip(lost));

            prop_assert_eq!(from_message(&to_message(&written)), Some(written));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in r#"(\{|\}|\[|:|,|"(received|delivered|lost|overflow)"|[0-9]{1,20}|.){0,40}"#) {
            let _ = from_message(&text);
        }
    }
}
