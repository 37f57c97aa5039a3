//! What the status of a `TraceBuffer` says.

use std::fmt::Write as _;

use super::declared::{Declared, Reference};
use super::standing::PodCounts;
use crate::domain::injection::words::in_one_line;

/// Most characters of a condition's message; the API server allows 32768 bytes.
const MOST_MESSAGE: usize = 1024;
/// Most absent objects that a message names.
const MOST_NAMED: usize = 5;

/// The status of a `TraceBuffer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The generation of the spec that it describes.
    pub observed_generation: Option<i64>,
    /// Its conditions; those of others, too, which are kept as they are.
    pub conditions: Vec<Condition>,
    /// Its pods.
    pub pods: PodCounts,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Such as `Accepted`.
    pub kind: String,
    /// Whether it holds.
    pub truth: Truth,
    /// Why, in one word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// Seconds since 1970 when it last began or ceased to hold; `None` is this moment.
    pub since: Option<i64>,
    /// The generation of the spec that it describes.
    pub observed_generation: Option<i64>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// What came of looking for the objects that a `TraceBuffer` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum References {
    /// It names none.
    None,
    /// All are there.
    Found,
    /// Some are not: the reference and the namespace.
    Absent(Vec<(Reference, String)>),
    /// The operator may not look.
    NotAllowed,
    /// Looking failed, and why.
    Failed(String),
}

/// Returns the status that `declared` is to have.
#[must_use]
pub fn status(declared: &Declared, references: &References, pods: PodCounts) -> Status {
    let before = declared.status.clone().unwrap_or_default();
    let fresh = [accepted(declared), resolved(references), ready(declared)];
    let mut conditions = before.conditions.clone();
    for (kind, Finding { truth, reason, message }) in fresh {
        let old = before.conditions.iter().find(|condition| condition.kind == kind);
        let condition = Condition {
            kind: kind.to_owned(),
            truth,
            reason: reason.to_owned(),
            message: in_one_line(&message, MOST_MESSAGE),
            since: old.filter(|old| old.truth == truth).and_then(|old| old.since),
            observed_generation: Some(declared.generation),
        };
        match conditions.iter_mut().find(|condition| condition.kind == kind) {
            Some(place) => *place = condition,
            None => conditions.push(condition),
        }
    }
    Status { observed_generation: Some(declared.generation), conditions, pods }
}

struct Finding {
    truth: Truth,
    reason: &'static str,
    message: String,
}

impl Finding {
    fn new(truth: Truth, reason: &'static str, message: impl Into<String>) -> Self {
        Self { truth, reason, message: message.into() }
    }
}

fn accepted(declared: &Declared) -> (&'static str, Finding) {
    let finding = match &declared.sidecar {
        Ok(_) => Finding::new(Truth::True, "Valid", "the spec has no mistakes"),
        Err(mistakes) => Finding::new(Truth::False, "Invalid", mistakes),
    };
    ("Accepted", finding)
}

fn resolved(references: &References) -> (&'static str, Finding) {
    let finding = match references {
        References::None => {
            Finding::new(Truth::True, "NoReferences", "the spec names no Secret and no ConfigMap")
        }
        References::Found => Finding::new(
            Truth::True,
            "Found",
            "every Secret and ConfigMap that the spec names exists",
        ),
        References::Absent(absent) => Finding::new(Truth::False, "NotFound", list(absent)),
        References::NotAllowed => Finding::new(
            Truth::Unknown,
            "NotVerified",
            "the operator may not look up the Secrets and ConfigMaps that the spec names; sidecars \
             say in their log when one is absent",
        ),
        References::Failed(why) => {
            Finding::new(Truth::Unknown, "LookupFailed", format!("looking failed: {why}"))
        }
    };
    ("ResolvedRefs", finding)
}

fn ready(declared: &Declared) -> (&'static str, Finding) {
    let finding = if declared.sidecar.is_ok() {
        Finding::new(Truth::True, "Injecting", "new pods that ask for it get the sidecar")
    } else {
        let message = "new pods get no sidecar until the mistakes that Accepted names are mended";
        Finding::new(Truth::False, "NotAccepted", message)
    };
    ("Ready", finding)
}

fn list(absent: &[(Reference, String)]) -> String {
    let mut text = String::new();
    for (reference, namespace) in absent.iter().take(MOST_NAMED) {
        let Reference { kind, name, field } = reference;
        let kind = kind.as_str();
        let separator = if text.is_empty() { "" } else { "; " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{field}: namespace {namespace} has no {kind} {name}");
    }
    match absent.len().saturating_sub(MOST_NAMED) {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

#[cfg(test)]
#[path = "conditions_tests.rs"]
mod tests;
