//! Why a pod gets no sidecar: a closed list, for warnings, events, metrics and people.

/// Why a pod that could have asked for a sidecar got none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// Neither the pod nor its namespace asks for one.
    NotRequested,
    /// The pod's annotation says `false`.
    OptedOut,
    /// The pod's annotation is none of the values that have a meaning.
    InvalidAnnotation,
    /// The namespace is one that is never touched.
    ExcludedNamespace,
    /// The pod shares the node's network, where ports would clash.
    HostNetwork,
    /// The pod runs on Windows.
    Windows,
    /// The pod mirrors one that a kubelet runs from a file, and changing the mirror changes nothing.
    StaticPod,
    /// The sidecar is there already.
    AlreadyInjected,
    /// A container or volume of the pod has the sidecar's name, but is not it.
    NameConflict,
    /// A container of the pod listens on one of the sidecar's ports.
    PortClash,
    /// A pod that runs to completion would never end beside a plain container.
    NeedsNativeSidecar,
    /// The namespace has no `TraceBuffer`, and the pod names none.
    NoTraceBuffer,
    /// The namespace has several, none is called `default`, and the pod names none.
    SeveralTraceBuffers,
    /// There is none of the name the pod gives.
    TraceBufferNotFound,
    /// It is in another namespace and does not allow the pod's.
    NotAllowed,
    /// It has mistakes and is not accepted.
    TraceBufferNotAccepted,
}

impl SkipReason {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::NotRequested,
        Self::OptedOut,
        Self::InvalidAnnotation,
        Self::ExcludedNamespace,
        Self::HostNetwork,
        Self::Windows,
        Self::StaticPod,
        Self::AlreadyInjected,
        Self::NameConflict,
        Self::PortClash,
        Self::NeedsNativeSidecar,
        Self::NoTraceBuffer,
        Self::SeveralTraceBuffers,
        Self::TraceBufferNotFound,
        Self::NotAllowed,
        Self::TraceBufferNotAccepted,
    ];

    /// Returns the word for it in annotations, events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRequested => "NotRequested",
            Self::OptedOut => "OptedOut",
            Self::InvalidAnnotation => "InvalidAnnotation",
            Self::ExcludedNamespace => "ExcludedNamespace",
            Self::HostNetwork => "HostNetwork",
            Self::Windows => "Windows",
            Self::StaticPod => "StaticPod",
            Self::AlreadyInjected => "AlreadyInjected",
            Self::NameConflict => "NameConflict",
            Self::PortClash => "PortClash",
            Self::NeedsNativeSidecar => "NeedsNativeSidecar",
            Self::NoTraceBuffer => "NoTraceBuffer",
            Self::SeveralTraceBuffers => "SeveralTraceBuffers",
            Self::TraceBufferNotFound => "TraceBufferNotFound",
            Self::NotAllowed => "NotAllowed",
            Self::TraceBufferNotAccepted => "TraceBufferNotAccepted",
        }
    }

    /// Returns the reason that `word` stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Returns whether the pod asked for a sidecar and should be told; the others are what its
    /// owner wants.
    #[must_use]
    pub const fn is_surprising(self) -> bool {
        !matches!(self, Self::NotRequested | Self::OptedOut | Self::AlreadyInjected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_word_of_its_own_that_leads_back_to_it() {
        for reason in SkipReason::ALL {
            assert_eq!(SkipReason::from_word(reason.as_str()), Some(reason));
        }
    }

    #[test]
    fn an_unknown_word_is_no_reason() {
        assert_eq!(SkipReason::from_word("Mood"), None);
    }

    #[test]
    fn what_the_owner_wants_surprises_nobody() {
        assert!(!SkipReason::OptedOut.is_surprising());
        assert!(SkipReason::HostNetwork.is_surprising());
    }
}
