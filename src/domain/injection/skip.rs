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

    /// Returns what it means, in one line.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NotRequested => "neither the pod nor its namespace asks",
            Self::OptedOut => "the annotation says false",
            Self::InvalidAnnotation => "the annotation's value has no meaning",
            Self::ExcludedNamespace => "the namespace is one that is never touched",
            Self::HostNetwork => "the pod shares the node's network, where ports would clash",
            Self::Windows => "the pod runs on Windows, for which there is no sidecar",
            Self::StaticPod => "the pod mirrors one that a kubelet runs from a file",
            Self::AlreadyInjected => "the sidecar is there already",
            Self::NameConflict => "a container or volume of the pod has a name of the sidecar's",
            Self::PortClash => "a container of the pod listens on a port of the sidecar's",
            Self::NeedsNativeSidecar => {
                "the pod runs to completion, and beside a plain container it would never end"
            }
            Self::NoTraceBuffer => "there is no TraceBuffer in the namespace",
            Self::SeveralTraceBuffers => {
                "there are several TraceBuffers, and none is called default"
            }
            Self::TraceBufferNotFound => "there is no TraceBuffer of that name",
            Self::NotAllowed => {
                "the TraceBuffer is in another namespace and does not allow this one"
            }
            Self::TraceBufferNotAccepted => "the TraceBuffer has mistakes",
        }
    }

    /// Returns what its owner can do about it, in one line.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NotRequested => {
                "put annotation tracebuffer.dev/inject: \"true\" on the pod template"
            }
            Self::OptedOut => "none needed; take the annotation away to have a sidecar",
            Self::InvalidAnnotation => {
                "set annotation tracebuffer.dev/inject to \"true\", \"false\" or a TraceBuffer's name"
            }
            Self::ExcludedNamespace => "run the application in a namespace that is not excluded",
            Self::HostNetwork => "leave hostNetwork out, or send to a receiver on the node",
            Self::Windows => "set annotation tracebuffer.dev/inject to \"false\"",
            Self::StaticPod => "put the output of `tracebuffer inject -f` into the kubelet's file",
            Self::AlreadyInjected => "none needed",
            Self::NameConflict => {
                "rename the pod's container or volume that has the sidecar's name"
            }
            Self::PortClash => "set another port in the TraceBuffer's receiver, or free the port",
            Self::NeedsNativeSidecar => {
                "set sidecar.mode of the TraceBuffer to Auto; Kubernetes 1.29 or later is needed"
            }
            Self::NoTraceBuffer => {
                "create a TraceBuffer in the namespace, or name one as \"<namespace>/<name>\""
            }
            Self::SeveralTraceBuffers => {
                "name one in annotation tracebuffer.dev/inject, or call one of them default"
            }
            Self::TraceBufferNotFound => {
                "create it, or name another in annotation tracebuffer.dev/inject"
            }
            Self::NotAllowed => "add the pod's namespace to the TraceBuffer's allowedNamespaces",
            Self::TraceBufferNotAccepted => {
                "correct the TraceBuffer: `kubectl describe tracebuffer` names its mistakes"
            }
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
