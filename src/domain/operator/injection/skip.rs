//! Reasons for not injecting the sidecar into a pod. Warnings, events and metrics use this closed
//! list.

use std::str::FromStr;

use crate::domain::operator::object_key::ObjectKey;
use crate::domain::text::in_one_line;

/// Maximum number of characters of a `TraceBuffer`'s errors in a message.
const MAX_ERROR_CHARS: usize = 400;

/// Reason for not injecting the sidecar into a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// Neither the pod nor its namespace asks for a sidecar.
    NotRequested,
    /// The pod's annotation is `false` or `disabled`.
    OptedOut,
    /// The annotation of the pod or of its Namespace has an invalid value.
    InvalidAnnotation,
    /// Injection is disabled in the namespace.
    ExcludedNamespace,
    /// The pod uses the host network, where the sidecar's ports would clash.
    HostNetwork,
    /// The pod runs on Windows.
    Windows,
    /// The pod is the mirror of a static pod; the kubelet ignores changes of mirror pods.
    StaticPod,
    /// The pod already has the sidecar.
    AlreadyInjected,
    /// A container or volume of the pod has a name that is reserved for the sidecar.
    NameConflict,
    /// A container of the pod listens on one of the sidecar's ports.
    PortClash,
    /// The pod runs to completion, and a sidecar in a regular container would keep it running.
    NeedsNativeSidecar,
    /// The namespace has no `TraceBuffer`, and neither the pod, its Namespace nor the operator names
    /// one.
    NoTraceBuffer,
    /// The namespace has several `TraceBuffer`s, none of which is named `default`, and neither the pod
    /// nor its Namespace names one.
    SeveralTraceBuffers,
    /// The named `TraceBuffer` does not exist.
    TraceBufferNotFound,
    /// The `TraceBuffer` is in another namespace and does not allow the pod's namespace.
    NotAllowed,
    /// The `TraceBuffer` is in another namespace, and refers to Secrets, `ConfigMap`s or the service
    /// account of the pod's namespace without the consent of its owner.
    ReferencesNotAllowed,
    /// The `TraceBuffer` has errors.
    TraceBufferNotAccepted,
}

/// A decision not to inject the sidecar into a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The reason.
    pub reason: SkipReason,
    /// Human-readable message that names the objects and the remedy.
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
             namespace, or remove the namespace from the operator's webhook.excludedNamespaces"
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

    /// Returns the meaning in one line.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NotRequested => "neither the pod nor its namespace asks for a sidecar",
            Self::OptedOut => "the annotation of the pod is false or disabled",
            Self::InvalidAnnotation => {
                "the annotation of the pod or of its Namespace has an invalid value"
            }
            Self::ExcludedNamespace => "injection is disabled in the namespace",
            Self::HostNetwork => {
                "the pod uses the host network, where the sidecar's ports would clash"
            }
            Self::Windows => "the pod runs on Windows, which the sidecar does not support",
            Self::StaticPod => "the pod is the mirror of a static pod",
            Self::AlreadyInjected => "the pod already has the sidecar",
            Self::NameConflict => {
                "a container or volume of the pod has a name that is reserved for the sidecar"
            }
            Self::PortClash => "a container of the pod listens on a port of the sidecar",
            Self::NeedsNativeSidecar => {
                "the pod runs to completion, and a sidecar in mode Container would keep it running"
            }
            Self::NoTraceBuffer => {
                "the namespace has no TraceBuffer, and the operator has no default"
            }
            Self::SeveralTraceBuffers => {
                "the namespace has several TraceBuffers, none of which is named default"
            }
            Self::TraceBufferNotFound => "the named TraceBuffer does not exist",
            Self::NotAllowed => {
                "the TraceBuffer is in another namespace and does not allow this one"
            }
            Self::ReferencesNotAllowed => {
                "the TraceBuffer is in another namespace and refers to Secrets, ConfigMaps or the \
                 service account of this one"
            }
            Self::TraceBufferNotAccepted => "the TraceBuffer has errors",
        }
    }

    /// Returns what the owner of the pod can do, in one line.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NotRequested => {
                "set annotation tracebuffer.dev/inject: \"true\" on the pod template"
            }
            Self::OptedOut => "none needed; to get a sidecar, remove the annotation",
            Self::InvalidAnnotation => {
                "set the annotation to the name of a TraceBuffer; tracebuffer.dev/inject of a pod can \
                 also be \"true\" or \"false\""
            }
            Self::ExcludedNamespace => "run the application in a namespace that is not excluded",
            Self::HostNetwork => "remove hostNetwork, or send traces to a receiver on the node",
            Self::Windows => "set annotation tracebuffer.dev/inject to \"false\"",
            Self::StaticPod => {
                "replace the kubelet's manifest with the output of `tracebuffer inject`; the kubelet refuses \
                 static pods that refer to Secrets or ConfigMaps, so the TraceBuffer must not"
            }
            Self::AlreadyInjected => "none needed",
            Self::NameConflict => "rename the container or volume of the pod",
            Self::PortClash => {
                "change the port in spec.receiver of the TraceBuffer or in the container"
            }
            Self::NeedsNativeSidecar => "set spec.sidecar.mode of the TraceBuffer to Native",
            Self::NoTraceBuffer => {
                "create a TraceBuffer in the namespace, or name one as \"<namespace>/<name>\""
            }
            Self::SeveralTraceBuffers => {
                "name one in annotation tracebuffer.dev/inject, or name one of them default"
            }
            Self::TraceBufferNotFound => {
                "create the TraceBuffer, or correct the annotation that names it"
            }
            Self::NotAllowed => {
                "include the pod's namespace in spec.allowedNamespaces of the TraceBuffer"
            }
            Self::ReferencesNotAllowed => {
                "if the owner of the namespace trusts the TraceBuffer, set annotation \
                 tracebuffer.dev/tracebuffer: <namespace>/<name> on the Namespace; a TraceBuffer \
                 with serviceAccountToken works only in its own namespace"
            }
            Self::TraceBufferNotAccepted => {
                "fix the errors of the TraceBuffer, which `kubectl describe tracebuffer` lists"
            }
        }
    }

    /// Returns whether the owner of the pod should be warned: the pod asks for a sidecar, but does not
    /// get one.
    #[must_use]
    pub const fn should_warn(self) -> bool {
        !matches!(self, Self::NotRequested | Self::OptedOut | Self::AlreadyInjected)
    }
}

/// The text is not a known [`SkipReason`]; it may be one of a newer version.
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
    fn the_name_of_every_reason_parses_back_to_it() {
        for reason in SkipReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
    }

    #[test]
    fn an_unknown_name_is_rejected() {
        assert_eq!("Mood".parse(), Err::<SkipReason, _>(UnknownSkipReason));
    }

    #[test]
    fn only_skips_that_the_owner_did_not_ask_for_cause_a_warning() {
        assert!(!SkipReason::OptedOut.should_warn());
        assert!(SkipReason::HostNetwork.should_warn());
    }
}
