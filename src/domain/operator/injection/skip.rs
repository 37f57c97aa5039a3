//! Reasons to skip a pod: a closed set for warnings, events and metrics.

use std::str::FromStr;

use crate::domain::operator::object_key::ObjectKey;
use crate::domain::text::in_one_line;

/// Maximum characters of a `TraceBuffer`'s errors that a message includes.
const MAX_ERROR_CHARS: usize = 400;

/// Why a pod gets no sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// Neither the pod nor its namespace asks for one.
    NotRequested,
    /// The pod's annotation says `false` or `disabled`.
    OptedOut,
    /// The pod's annotation, or that of its Namespace, has no valid value.
    InvalidAnnotation,
    /// Injection is disabled in the namespace.
    ExcludedNamespace,
    /// The pod uses the host network, where ports would clash.
    HostNetwork,
    /// The pod runs on Windows.
    Windows,
    /// The pod is the mirror of a static pod, which a change of the mirror does not affect.
    StaticPod,
    /// The pod already has its sidecar.
    AlreadyInjected,
    /// A container or volume of the pod has the name of the sidecar or of its volume.
    NameConflict,
    /// A container of the pod listens on one of the sidecar's ports.
    PortClash,
    /// A pod that runs to completion would never end beside a plain container.
    NeedsNativeSidecar,
    /// The namespace has no `TraceBuffer`, and neither pod, Namespace nor operator names one.
    NoTraceBuffer,
    /// The namespace has several, none is called `default`, and neither pod nor Namespace names one.
    SeveralTraceBuffers,
    /// The named `TraceBuffer` does not exist.
    TraceBufferNotFound,
    /// The `TraceBuffer` is in another namespace and does not allow the pod's.
    NotAllowed,
    /// The `TraceBuffer` is in another namespace, and would use credentials of the pod's.
    ReferencesNotAllowed,
    /// The `TraceBuffer` has errors and is not accepted.
    TraceBufferNotAccepted,
}

/// The decision to skip a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The reason.
    pub reason: SkipReason,
    /// The message for people, with the names of objects and the remedy.
    pub message: String,
}

impl Skip {
    pub(super) fn new(reason: SkipReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    pub(super) fn not_requested(namespace: &str) -> Self {
        let message = format!(
            "neither the pod's annotation tracebuffer.dev/inject nor the label of namespace \
             {namespace} asks for a sidecar"
        );
        Self::new(SkipReason::NotRequested, message)
    }

    pub(super) fn opted_out() -> Self {
        let message = "the pod's annotation tracebuffer.dev/inject declines a sidecar";
        Self::new(SkipReason::OptedOut, message)
    }

    /// Returns the skip for a pod of a namespace in which injection is disabled.
    #[must_use]
    pub fn excluded(namespace: &str) -> Self {
        let message = format!(
            "injection is disabled in namespace {namespace}; run the application in another \
             namespace, or remove it from the operator's webhook.excludedNamespaces"
        );
        Self::new(SkipReason::ExcludedNamespace, message)
    }

    /// Returns the skip for a `TraceBuffer` with errors.
    pub(super) fn not_accepted(trace_buffer: &ObjectKey, errors: &str) -> Self {
        let errors = in_one_line(errors, MAX_ERROR_CHARS);
        let message = format!("TraceBuffer {trace_buffer} has errors: {errors}");
        Self::new(SkipReason::TraceBufferNotAccepted, message)
    }
}

impl SkipReason {
    /// All reasons.
    pub const ALL: [Self; 17] = [
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
        Self::ReferencesNotAllowed,
        Self::TraceBufferNotAccepted,
    ];

    /// Returns the name of the reason in annotations, events and metrics.
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
            Self::ReferencesNotAllowed => "ReferencesNotAllowed",
            Self::TraceBufferNotAccepted => "TraceBufferNotAccepted",
        }
    }

    /// Returns the meaning of the reason, in one line.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NotRequested => "neither the pod nor its namespace asks",
            Self::OptedOut => "the annotation says false or disabled",
            Self::InvalidAnnotation => {
                "the annotation of the pod or its Namespace has no valid value"
            }
            Self::ExcludedNamespace => "injection is disabled in the namespace",
            Self::HostNetwork => "the pod shares the node's network, where ports would clash",
            Self::Windows => "the pod runs on Windows, for which there is no sidecar",
            Self::StaticPod => "the pod mirrors one that a kubelet runs from a file",
            Self::AlreadyInjected => "the sidecar is there already",
            Self::NameConflict => "a container or volume of the pod has a name of the sidecar's",
            Self::PortClash => "a container of the pod listens on a port of the sidecar's",
            Self::NeedsNativeSidecar => {
                "the pod runs to completion, and beside a plain container it would never end"
            }
            Self::NoTraceBuffer => "there is no TraceBuffer in the namespace, and no default",
            Self::SeveralTraceBuffers => {
                "there are several TraceBuffers, and none is called default"
            }
            Self::TraceBufferNotFound => "the named TraceBuffer does not exist",
            Self::NotAllowed => {
                "the TraceBuffer is in another namespace and does not allow this one"
            }
            Self::ReferencesNotAllowed => {
                "the TraceBuffer is in another namespace and would use Secrets, ConfigMaps or the \
                 service account of this one"
            }
            Self::TraceBufferNotAccepted => "the TraceBuffer has errors",
        }
    }

    /// Returns what the pod's owner can do, in one line.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NotRequested => {
                "put annotation tracebuffer.dev/inject: \"true\" on the pod template"
            }
            Self::OptedOut => "none needed; take the annotation away to have a sidecar",
            Self::InvalidAnnotation => {
                "set it to a TraceBuffer's name; tracebuffer.dev/inject of a pod can also be \"true\" or \
                 \"false\""
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
            Self::NeedsNativeSidecar => "set sidecar.mode of the TraceBuffer to Native",
            Self::NoTraceBuffer => {
                "create a TraceBuffer in the namespace, or name one as \"<namespace>/<name>\""
            }
            Self::SeveralTraceBuffers => {
                "name one in annotation tracebuffer.dev/inject, or call one of them default"
            }
            Self::TraceBufferNotFound => "create it, or correct the annotation that names it",
            Self::NotAllowed => {
                "let the TraceBuffer's spec.allowedNamespaces include the pod's namespace"
            }
            Self::ReferencesNotAllowed => {
                "set annotation tracebuffer.dev/tracebuffer: <namespace>/<name> on the Namespace, if \
                 its owner trusts the TraceBuffer; one with serviceAccountToken works in its own \
                 namespace only"
            }
            Self::TraceBufferNotAccepted => {
                "correct the TraceBuffer: `kubectl describe tracebuffer` lists its errors"
            }
        }
    }

    /// Returns whether the owner should be warned, because the pod asked for a sidecar; the other reasons
    /// are what the owner wants.
    #[must_use]
    pub const fn should_warn(self) -> bool {
        !matches!(self, Self::NotRequested | Self::OptedOut | Self::AlreadyInjected)
    }
}

/// A text that is not a known [`SkipReason`], perhaps one of a newer version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSkipReason;

impl FromStr for SkipReason {
    type Err = UnknownSkipReason;

    fn from_str(text: &str) -> Result<Self, UnknownSkipReason> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownSkipReason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_parsed_from_its_name() {
        for reason in SkipReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
    }

    #[test]
    fn an_unknown_name_is_rejected() {
        assert_eq!("Mood".parse(), Err::<SkipReason, _>(UnknownSkipReason));
    }

    #[test]
    fn only_unwanted_reasons_warn() {
        assert!(!SkipReason::OptedOut.should_warn());
        assert!(SkipReason::HostNetwork.should_warn());
    }
}
