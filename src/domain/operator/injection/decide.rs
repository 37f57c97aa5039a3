//! The decision: whether a pod gets a sidecar, from which `TraceBuffer`, or why not.
//!
//! The first reason that holds is the one told, and they are asked in this order:
//!
//! 1. What the pod wants: nobody asks, it opts out, its annotation has no meaning.
//! 2. Where it is: a namespace in which injection is disabled.
//! 3. Whether it is done: the sidecar is there already.
//! 4. What no `TraceBuffer` could change: the node's network, Windows, a static pod, a foreign
//!    container of the sidecar's name.
//! 5. The `TraceBuffer`: none, several, not found, not allowed, not accepted, without consent.
//! 6. What this `TraceBuffer` makes of this pod: a plain container that would keep it from ending, a
//!    volume of the same name, a port that is taken.

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

/// What becomes of a pod.
#[derive(Clone, Debug)]
pub enum Decision<S> {
    /// It gets a sidecar, made from this `TraceBuffer`, which is accepted.
    Inject(Arc<TraceBufferView<S>>),
    /// It has its sidecar, from this `TraceBuffer`; containers may have come since then.
    CompleteInjection(Arc<TraceBufferView<S>>),
    /// It gets none.
    Skip(Skip),
}

/// Decides what becomes of `pod`, with a `TraceBuffer` of `known`.
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
    let decided = resolve_request(pod, namespace, cluster).and_then(|request| {
        if let SidecarPresence::Injected(key) = &pod.sidecar {
            return complete_injection(key, namespace, known);
        }
        check_pod(pod)?;
        let names = || known.names_in(&namespace.name);
        let selected = select(&request, namespace, cluster, names)?;
        let candidate = find_trace_buffer(&selected, namespace, known)?;
        check_template(pod, &candidate, namespace)?;
        Ok(Decision::Inject(candidate))
    });
    decided.unwrap_or_else(Decision::Skip)
}

fn resolve_request(
    pod: &PodFacts,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
) -> Result<InjectRequest, Skip> {
    let name = &namespace.name;
    let request = InjectRequest::resolve(pod.inject.as_deref(), namespace.opted_in)
        .map_err(|invalid| Skip::new(SkipReason::InvalidAnnotation, invalid.to_string()))?;
    let request = request.ok_or_else(|| {
        let message = format!(
            "neither the pod's annotation tracebuffer.dev/inject nor the label of namespace {name} \
             asks for a sidecar"
        );
        Skip::new(SkipReason::NotRequested, message)
    })?;
    if request == InjectRequest::OptOut {
        return Err(Skip::opted_out());
    }
    if cluster.excludes(name) {
        return Err(Skip::excluded(name));
    }
    Ok(request)
}

/// Returns the `TraceBuffer` of a sidecar that is there, if this pod may still use it.
fn complete_injection<T>(
    key: &ObjectKey,
    namespace: &NamespaceFacts,
    known: &T,
) -> Result<Decision<T::Sidecar>, Skip>
where
    T: TraceBufferLister<Sidecar: SidecarTemplate>,
{
    let is_usable = |candidate: &Arc<TraceBufferView<T::Sidecar>>| {
        let sidecar = candidate.sidecar.as_ref();
        allows(candidate, namespace)
            && sidecar
                .is_ok_and(|sidecar| may_use_credentials(key, sidecar.credential_use(), namespace))
    };
    known.get(key).filter(is_usable).map(Decision::CompleteInjection).ok_or_else(|| {
        let message = format!("the sidecar of TraceBuffer {key} is there already");
        Skip::new(SkipReason::AlreadyInjected, message)
    })
}

/// What stands against a sidecar in `pod`, whatever `TraceBuffer` it is made from.
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
    let candidate = known.get(&selected.key);
    let candidate = candidate.ok_or_else(|| selected.not_found(&namespace.name))?;
    if allows(&candidate, namespace) {
        Ok(candidate)
    } else {
        Err(not_allowed(&candidate, namespace))
    }
}

fn not_allowed<S>(candidate: &TraceBufferView<S>, namespace: &NamespaceFacts) -> Skip {
    let (key, name) = (&candidate.key, &namespace.name);
    let selects = matches!(candidate.allowed_namespaces, AllowedNamespaces::Selector(_));
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

fn allows<S>(candidate: &TraceBufferView<S>, namespace: &NamespaceFacts) -> bool {
    candidate.allowed_namespaces.allows(&candidate.key.namespace, namespace)
}

/// What stands against this sidecar in this pod.
fn check_template<S: SidecarTemplate>(
    pod: &PodFacts,
    candidate: &TraceBufferView<S>,
    namespace: &NamespaceFacts,
) -> Result<(), Skip> {
    let key = &candidate.key;
    let sidecar = candidate.sidecar.as_ref();
    let sidecar = sidecar.map_err(|mistakes| Skip::not_accepted(key, mistakes))?;
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
    check_ports(pod, key, sidecar.ports())
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
