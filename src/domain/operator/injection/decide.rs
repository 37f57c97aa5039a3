//! The decision: whether a pod gets a sidecar, from which `TraceBuffer`, or why not.
//!
//! Reasons to skip a pod are checked in this order, and the first that applies is reported:
//!
//! 1. The request: neither the pod nor its namespace opts in, the pod opts out, or its annotation is
//!    invalid.
//! 2. The namespace: injection is disabled there.
//! 3. The pod already has its sidecar.
//! 4. The pod cannot have any sidecar: host network, Windows, a static pod, a container that uses the
//!    sidecar's name.
//! 5. The `TraceBuffer`: none, several, not found, not allowed, not accepted, without consent.
//! 6. The pod cannot have the sidecar of this `TraceBuffer`: a plain container would keep the pod from
//!    completing, a volume has the same name, a port is taken.

use std::sync::Arc;

use super::consent::{AllowedNamespaces, CredentialUse, may_use_credentials};
use super::facts::{ClusterFacts, NamespaceFacts, PodFacts, SidecarPresence};
use super::request::InjectRequest;
use super::select::{Selection, select};
use super::skip::{Skip, SkipReason};
use super::trace_buffer_view::{
    SidecarMode, SidecarPorts, SidecarTemplate, TraceBufferLister, TraceBufferView,
};
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::text::quoted;

/// What to do with a pod.
#[derive(Clone, Debug)]
pub enum Decision<S> {
    /// Inject a sidecar.
    Inject {
        /// The `TraceBuffer` that describes the sidecar.
        trace_buffer: ObjectKey,
        /// The sidecar, which this pod can have.
        sidecar: Arc<S>,
    },
    /// Configure containers that were added after the pod got its sidecar.
    CompleteInjection {
        /// The `TraceBuffer` that the pod's sidecar was made from.
        trace_buffer: ObjectKey,
        /// The sidecar that it describes now.
        sidecar: Arc<S>,
    },
    /// Leave the pod without a sidecar.
    Skip(Skip),
}

/// Decides what to do with `pod`, given the `TraceBuffer`s of `known`.
#[must_use]
pub fn decide<T>(
    pod: &PodFacts,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    known: &T,
) -> Decision<T::Sidecar>
where
    T: TraceBufferLister<Sidecar: SidecarTemplate>,
{
    let request = InjectRequest::of_pod(pod.inject.as_deref(), namespace, cluster);
    let decided = request.and_then(|request| {
        if let SidecarPresence::Injected(key) = &pod.sidecar {
            return complete_injection(key, namespace, known);
        }
        check_pod(pod)?;
        let names = || known.names_in(&namespace.name);
        let selected = select(&request, namespace, cluster, names)?;
        let view = find_trace_buffer(&selected, namespace, known)?;
        let sidecar = check_template(pod, &view, namespace)?;
        Ok(Decision::Inject { trace_buffer: selected.key, sidecar })
    });
    decided.unwrap_or_else(Decision::Skip)
}

/// Completes the injection of a pod whose sidecar is from `TraceBuffer` `key`, if the pod may still
/// use it.
fn complete_injection<T>(
    key: &ObjectKey,
    namespace: &NamespaceFacts,
    known: &T,
) -> Result<Decision<T::Sidecar>, Skip>
where
    T: TraceBufferLister<Sidecar: SidecarTemplate>,
{
    let view = known.get(key).filter(|view| view.allows(namespace));
    let sidecar = view
        .and_then(|view| view.sidecar.as_ref().ok().cloned())
        .filter(|sidecar| may_use_credentials(key, sidecar.credential_use(), namespace));
    let sidecar = sidecar.ok_or_else(|| {
        let message = format!("the pod already has the sidecar of TraceBuffer {key}");
        Skip::new(SkipReason::AlreadyInjected, message)
    })?;
    Ok(Decision::CompleteInjection { trace_buffer: key.clone(), sidecar })
}

/// Checks whether `pod` can have any sidecar.
fn check_pod(pod: &PodFacts) -> Result<(), Skip> {
    if pod.host_network {
        let message = "the pod uses the node's network (hostNetwork: true), where the sidecar's \
                       ports clash with other pods'; leave hostNetwork out, or send to a receiver \
                       on the node";
        return Err(Skip::new(SkipReason::HostNetwork, message));
    }
    if pod.windows {
        let message = "the pod runs on Windows, for which the sidecar has no image; set annotation \
                       tracebuffer.dev/inject to \"false\"";
        return Err(Skip::new(SkipReason::Windows, message));
    }
    if pod.is_mirror_pod {
        let message = "the pod mirrors a static pod, which only the kubelet's file can change; put \
                       the output of `tracebuffer inject -f` there";
        return Err(Skip::new(SkipReason::StaticPod, message));
    }
    if pod.sidecar == SidecarPresence::Foreign {
        let message = "a container of the pod is named tracebuffer but was not injected; rename it";
        return Err(Skip::new(SkipReason::NameConflict, message));
    }
    Ok(())
}

fn find_trace_buffer<T: TraceBufferLister>(
    selected: &Selection,
    namespace: &NamespaceFacts,
    known: &T,
) -> Result<Arc<TraceBufferView<T::Sidecar>>, Skip> {
    let view = known.get(&selected.key).ok_or_else(|| selected.not_found(&namespace.name))?;
    if view.allows(namespace) { Ok(view) } else { Err(not_allowed(&view, namespace)) }
}

fn not_allowed<S>(view: &TraceBufferView<S>, namespace: &NamespaceFacts) -> Skip {
    let (key, name) = (&view.key, &namespace.name);
    let selects = matches!(view.allowed_namespaces, AllowedNamespaces::Selector(_));
    let message = if selects && namespace.labels.is_none() {
        format!(
            "TraceBuffer {key} allows namespaces by their labels, and those of namespace {name} are \
             not known; give its Namespace object, too"
        )
    } else {
        format!(
            "TraceBuffer {key} does not allow pods of namespace {name}; let its \
             spec.allowedNamespaces include them"
        )
    };
    Skip::new(SkipReason::NotAllowed, message)
}

/// Returns the sidecar of `view` if `pod` can have it.
fn check_template<S: SidecarTemplate>(
    pod: &PodFacts,
    view: &TraceBufferView<S>,
    namespace: &NamespaceFacts,
) -> Result<Arc<S>, Skip> {
    let key = &view.key;
    let sidecar = view.sidecar.as_ref().map_err(|errors| Skip::not_accepted(key, errors))?;
    check_consent(key, sidecar.credential_use(), namespace)?;
    check_run_to_completion(pod, key, sidecar.mode())?;
    if let Some(name) =
        sidecar.volume_names().find(|name| pod.volumes.iter().any(|has| has == name))
    {
        let message = format!(
            "a volume of the pod is named {} like one of the sidecar's; rename it",
            quoted(name)
        );
        return Err(Skip::new(SkipReason::NameConflict, message));
    }
    check_ports(pod, key, sidecar.ports())?;
    Ok(Arc::clone(sidecar))
}

fn check_consent(
    key: &ObjectKey,
    credentials: CredentialUse,
    namespace: &NamespaceFacts,
) -> Result<(), Skip> {
    if may_use_credentials(key, credentials, namespace) {
        return Ok(());
    }
    let name = &namespace.name;
    let message = match credentials {
        CredentialUse::ServiceAccountToken => format!(
            "TraceBuffer {key} sends a service account token, which no TraceBuffer of another \
             namespace may; create one in namespace {name}"
        ),
        _ => format!(
            "TraceBuffer {key} of another namespace refers to Secrets or ConfigMaps, which it may use \
             only with the consent of the namespace's owner: annotation \
             tracebuffer.dev/tracebuffer: {key} on Namespace {name}"
        ),
    };
    Err(Skip::new(SkipReason::ReferencesNotAllowed, message))
}

fn check_run_to_completion(pod: &PodFacts, key: &ObjectKey, mode: SidecarMode) -> Result<(), Skip> {
    if mode == SidecarMode::Native || !pod.runs_to_completion {
        return Ok(());
    }
    let message = format!(
        "the pod runs to completion, and the plain container of TraceBuffer {key} (sidecar.mode: \
         Container) would never let it end; set the mode to Native"
    );
    Err(Skip::new(SkipReason::NeedsNativeSidecar, message))
}

fn check_ports(pod: &PodFacts, key: &ObjectKey, ports: SidecarPorts) -> Result<(), Skip> {
    let own = [
        (ports.grpc, "receiver.grpcPort"),
        (ports.http, "receiver.httpPort"),
        (ports.admin, "receiver.adminPort"),
    ];
    for claimed in &pod.ports {
        if let Some((port, field)) = own.iter().find(|(port, _)| *port == claimed.port) {
            let container = quoted(&claimed.container);
            let message = format!(
                "container {container} listens on port {port}, as the sidecar would; set {field} of \
                 TraceBuffer {key} to another, or free the port"
            );
            return Err(Skip::new(SkipReason::PortClash, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
