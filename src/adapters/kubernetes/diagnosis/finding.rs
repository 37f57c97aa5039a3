//! What was found, for people and machines.

use serde::Serialize;

/// How good a finding is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Skipped,
    /// It works, but not as it should.
    Warning,
    /// It does not work.
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it belongs to; findings of one section stand together.
    pub section: &'static str,
    /// What was looked at.
    pub name: String,
    /// How good it is.
    pub state: FindingState,
    /// What was found, with the objects by name.
    pub message: String,
    /// What to do, where something should be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl FindingState {
    /// Returns the word for it.
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

/// Returns the worst state of `findings`; what was skipped is no worse than what is fine.
#[must_use]
pub fn worst_state(findings: &[Finding]) -> FindingState {
    let states = findings.iter().map(|finding| finding.state);
    states.filter(|state| *state != FindingState::Skipped).max().unwrap_or(FindingState::Ok)
}

/// A section, from which findings are made.
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

    /// A warning whose message says what to do.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts_and_what_was_skipped_does_not() {
        let section = Section("Cluster");
        let (ok, skipped) = (section.ok("a", ""), section.skipped("b", ""));
        assert_eq!(worst_state(&[]), FindingState::Ok);
        assert_eq!(worst_state(&[skipped.clone(), ok.clone()]), FindingState::Ok);
        assert_eq!(worst_state(&[section.warning("c", "", ""), ok.clone()]), FindingState::Warning);
        assert_eq!(worst_state(&[section.failed("d", "", ""), skipped, ok]), FindingState::Failed);
    }

    #[test]
    fn a_finding_is_written_for_machines_with_its_remedy_if_there_is_one() {
        let json = |finding| serde_json::to_string(&finding).unwrap();
        assert_eq!(
            json(Section("Cluster").ok("version", "1.36")),
            r#"{"section":"Cluster","name":"version","state":"ok","message":"1.36"}"#
        );
        assert!(json(Section("Cluster").failed("a", "b", "c")).ends_with(r#","remedy":"c"}"#));
    }
}
