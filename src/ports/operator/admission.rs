//! What the webhook tells those who watch it.

use std::time::Duration;

use crate::domain::operator::injection::skip::SkipReason;

/// How a request to the webhook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionOutcome {
    /// The pod gets a sidecar.
    Injected,
    /// The pod gets none, or has it already.
    Skipped(SkipReason),
    /// It was not about a new pod; nothing was looked at.
    NotANewPod,
    /// The pod was not looked at.
    Failed(AdmissionFailure),
}

/// Why a pod was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionFailure {
    /// It was not sent as API servers do: another path, method or content type.
    BadRequest,
    /// What was sent is no review of a pod.
    Malformed,
    /// It is larger than anything that is looked at.
    TooLarge,
    /// Its turn did not come in time.
    Overloaded,
    /// It could not be read, or answered, in time.
    TooSlow,
    /// The pod's namespace could not be read, and with it the `TraceBuffer` it names.
    UnknownNamespace,
}

impl AdmissionFailure {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::BadRequest,
        Self::Malformed,
        Self::TooLarge,
        Self::Overloaded,
        Self::TooSlow,
        Self::UnknownNamespace,
    ];

    /// Returns the word for it in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Malformed => "Malformed",
            Self::TooLarge => "TooLarge",
            Self::Overloaded => "Overloaded",
            Self::TooSlow => "TooSlow",
            Self::UnknownNamespace => "UnknownNamespace",
        }
    }
}

/// Counts what the webhook answers.
pub trait AdmissionMonitor: Send + Sync + 'static {
    /// A request was answered, which took this long.
    fn answered(&self, outcome: AdmissionOutcome, elapsed: Duration);
}
