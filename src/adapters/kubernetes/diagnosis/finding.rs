//! What was found, for people and machines.

use serde::Serialize;

/// How good a finding is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
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
    pub state: State,
    /// What was found, with the objects by name.
    pub message: String,
    /// What to do, where something should be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl State {
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
pub fn worst(findings: &[Finding]) -> State {
    let states = findings.iter().map(|finding| finding.state);
    states.filter(|state| *state != State::Skipped).max().unwrap_or(State::Ok)
}

/// A section, from which findings are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section(pub(super) &'static str);

impl Section {
    pub(super) fn ok(self, name: impl Into<String>, message: impl Into<String>) -> Finding {
        self.finding(State::Ok, name, message, None)
    }

    pub(super) fn skipped(self, name: impl Into<String>, message: impl Into<String>) -> Finding {
        self.finding(State::Skipped, name, message, None)
    }

    pub(super) fn warning(
        self,
        name: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        self.finding(State::Warning, name, message, Some(remedy.into()))
    }

    /// A warning whose message says what to do.
    pub(super) fn complete_warning(
        self,
        name: impl Into<String>,
        message: impl Into<String>,
    ) -> Finding {
        self.finding(State::Warning, name, message, None)
    }

    pub(super) fn failed(
        self,
        name: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        self.finding(State::Failed, name, message, Some(remedy.into()))
    }

    fn finding(
        self,
        state: State,
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
        assert_eq!(worst(&[]), State::Ok);
        assert_eq!(worst(&[skipped.clone(), ok.clone()]), State::Ok);
        assert_eq!(worst(&[section.warning("c", "", ""), ok.clone()]), State::Warning);
        assert_eq!(worst(&[section.failed("d", "", ""), skipped, ok]), State::Failed);
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
