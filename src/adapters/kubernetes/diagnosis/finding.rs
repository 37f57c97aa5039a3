//! Findings of `check` and `explain`, for people and machines.

use serde::Serialize;

use crate::domain::text::join_limited;

/// The section about a pod's decision.
pub(super) const DECISION: Section = Section("Decision");
/// Maximum names that a message lists.
const MAX_NAMES: usize = 5;

/// The state of a finding, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// Nothing is wrong.
    Ok,
    /// The check was not possible.
    Skipped,
    /// It works, but something should be corrected.
    Warning,
    /// It does not work.
    Failed,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The section; findings of one section are consecutive.
    pub section: &'static str,
    /// The name of the check.
    pub name: String,
    /// The state.
    pub state: FindingState,
    /// What was found, with the names of objects.
    pub message: String,
    /// What to do, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl FindingState {
    /// Returns the name of the state in text and JSON output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// Returns the worst state of `findings`; skipped checks count as ok.
#[must_use]
pub fn worst_state(findings: &[Finding]) -> FindingState {
    let states = findings.iter().map(|finding| finding.state);
    states.filter(|state| *state != FindingState::Skipped).max().unwrap_or(FindingState::Ok)
}

/// A section, which creates findings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section(pub(super) &'static str);

impl Section {
    pub(super) fn ok(self, name: impl Into<String>, message: impl Into<String>) -> Finding {
        self.finding(FindingState::Ok, name, message, None)
    }

    pub(super) fn skipped(self, name: impl Into<String>, message: impl Into<String>) -> Finding {
        self.finding(FindingState::Skipped, name, message, None)
    }

    pub(super) fn warning(
        self,
        name: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        self.finding(FindingState::Warning, name, message, Some(remedy.into()))
    }

    /// Creates a warning whose message includes the remedy.
    pub(super) fn warning_without_remedy(
        self,
        name: impl Into<String>,
        message: impl Into<String>,
    ) -> Finding {
        self.finding(FindingState::Warning, name, message, None)
    }

    pub(super) fn failed(
        self,
        name: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        self.finding(FindingState::Failed, name, message, Some(remedy.into()))
    }

    fn finding(
        self,
        state: FindingState,
        name: impl Into<String>,
        message: impl Into<String>,
        remedy: Option<String>,
    ) -> Finding {
        Finding { section: self.0, name: name.into(), state, message: message.into(), remedy }
    }
}

/// Lists the first of `names` and the number of the others.
pub(super) fn join_names<S: AsRef<str>>(names: &[S]) -> String {
    join_limited(names.iter().map(AsRef::as_ref), MAX_NAMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_names_is_cut() {
        let names: Vec<_> = (1..=7).map(|number| format!("p{number}")).collect();

        assert_eq!(join_names(&names), "p1, p2, p3, p4, p5 and 2 more");
        assert_eq!(join_names(&names[..1]), "p1");
    }

    #[test]
    fn the_worst_state_counts_and_skipped_does_not() {
        let section = Section("Cluster");
        let (ok, skipped) = (section.ok("a", ""), section.skipped("b", ""));
        assert_eq!(worst_state(&[]), FindingState::Ok);
        assert_eq!(worst_state(&[skipped.clone(), ok.clone()]), FindingState::Ok);
        assert_eq!(worst_state(&[section.warning("c", "", ""), ok.clone()]), FindingState::Warning);
        assert_eq!(worst_state(&[section.failed("d", "", ""), skipped, ok]), FindingState::Failed);
    }

    #[test]
    fn a_finding_is_serialized_with_its_remedy_if_any() {
        let json = |finding| serde_json::to_string(&finding).unwrap();
        assert_eq!(
            json(Section("Cluster").ok("version", "1.36")),
            r#"{"section":"Cluster","name":"version","state":"ok","message":"1.36"}"#
        );
        assert!(json(Section("Cluster").failed("a", "b", "c")).ends_with(r#","remedy":"c"}"#));
    }
}
