//! The decision: whether a pod gets a sidecar, from which `TraceBuffer`, or why not.
//!
//! The first reason that holds is the one told, and they are asked in this order:
//!
//! 1. What the pod wants: nobody asks, it opts out, its annotation has no meaning.
//! 2. Where it is: a namespace that is never touched.
//! 3. Whether it is done: the sidecar is there already.
//! 4. What no `TraceBuffer` could change: the node's network, Windows, a static pod, a foreign
//!    container of the sidecar's name.
//! 5. The `TraceBuffer`: none, several, not found, not allowed, not accepted.
//! 6. What this `TraceBuffer` makes of this pod: a plain container that would keep it from ending, a
//!    volume of the same name, a port that is taken.

use std::sync::Arc;

use super::candidate::{Candidate, ObjectKey, SidecarMode, SidecarPorts};
use super::request::InjectRequest;
use super::skip::SkipReason;
use super::words::{in_one_line, listed, quoted};

pub use super::facts::{ClusterFacts, NamespaceFacts, PodFacts, SidecarPresence};

/// The `TraceBuffer` that counts where several are in a namespace and a pod names none.
pub const DEFAULT_NAME: &str = "default";
/// The namespace of the cluster's own parts, whose pods never get a sidecar.
pub const SYSTEM_NAMESPACE: &str = "kube-system";
/// The entry of `allowedNamespaces` that stands for every one.
const EVERY_NAMESPACE: &str = "*";
/// Most characters of a `TraceBuffer`'s mistakes that a message repeats.
const MOST_MISTAKES: usize = 400;
/// Most names that a message lists.
const MOST_NAMES: usize = 5;

/// What becomes of a pod.
#[derive(Clone, Debug)]
pub enum Decision<S> {
    /// It gets a sidecar.
    Inject {
        /// The `TraceBuffer` it is made from; accepted.
        candidate: Arc<Candidate<S>>,
        /// Whether as an init container that is always restarted.
        native: bool,
    },
    /// It has its sidecar, from this `TraceBuffer`; containers may have come since then.
    Complete(Arc<Candidate<S>>),
    /// It gets none.
    Skip(Skip),
}

/// Why a pod gets no sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The reason.
    pub reason: SkipReason,
    /// The same for people: the objects by name, and the remedy.
    pub message: String,
}

/// The `TraceBuffer`s that a decision depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of a namespace.
    AllOf(String),
    /// One by name.
    One(ObjectKey),
}

/// What the decision needs to know of a sidecar.
pub trait Shape {
    /// Returns how it stands in its pod.
    fn mode(&self) -> SidecarMode;

    /// Returns the ports it listens on.
    fn ports(&self) -> SidecarPorts;

    /// Returns the names of the volumes it brings.
    fn volumes(&self) -> impl Iterator<Item = &str>;
}

impl Wanted {
    /// Returns the namespace they are in.
    #[must_use]
    pub fn namespace(&self) -> &str {
        match self {
            Self::AllOf(namespace) => namespace,
            Self::One(key) => &key.namespace,
        }
    }
}

impl Skip {
    fn new(reason: SkipReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// Returns the skip for a pod of a namespace that is never touched.
    #[must_use]
    pub fn excluded(namespace: &str) -> Self {
        let message = format!(
            "pods of namespace {namespace} never get a sidecar; run the application in another \
             namespace"
        );
        Self::new(SkipReason::ExcludedNamespace, message)
    }

    /// Returns the skip for a `TraceBuffer` with mistakes.
    #[must_use]
    pub fn not_accepted(trace_buffer: &ObjectKey, mistakes: &str) -> Self {
        let mistakes = in_one_line(mistakes, MOST_MISTAKES);
        let message = format!("TraceBuffer {trace_buffer} has mistakes: {mistakes}");
        Self::new(SkipReason::TraceBufferNotAccepted, message)
    }
}

/// Returns whether no pod of `namespace` is ever touched.
#[must_use]
pub fn is_excluded(namespace: &str, own_namespace: &str) -> bool {
    namespace == SYSTEM_NAMESPACE || namespace == own_namespace
}

/// Decides what becomes of `pod`. `known` returns the `TraceBuffer`s that it is asked for, as far as
/// there are any.
#[must_use]
pub fn decide<S: Shape>(
    pod: &PodFacts,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    known: impl Fn(&Wanted) -> Vec<Arc<Candidate<S>>>,
) -> Decision<S> {
    let decided = request_of(pod, namespace, cluster).and_then(|request| {
        if let SidecarPresence::Injected(key) = &pod.sidecar {
            return complete(key, namespace, known);
        }
        suits_any(pod)?;
        let candidate = find(&request, namespace, known)?;
        let native = suits(pod, &candidate, cluster)?;
        Ok(Decision::Inject { candidate, native })
    });
    decided.unwrap_or_else(Decision::Skip)
}

/// Returns the `TraceBuffer`s that decide about a pod that asks so.
#[must_use]
pub fn wanted(request: &InjectRequest, namespace: &str) -> Option<Wanted> {
    let one = |namespace: &str, name: &str| {
        Wanted::One(ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() })
    };
    match request {
        InjectRequest::Never => None,
        InjectRequest::Default => Some(Wanted::AllOf(namespace.to_owned())),
        InjectRequest::Named(name) => Some(one(namespace, name)),
        InjectRequest::NamedInFull(key) => Some(Wanted::One(key.clone())),
    }
}

fn request_of(
    pod: &PodFacts,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
) -> Result<InjectRequest, Skip> {
    let name = &namespace.name;
    let request = InjectRequest::of(pod.inject.as_deref(), namespace.asks)
        .map_err(|invalid| Skip::new(SkipReason::InvalidAnnotation, invalid.to_string()))?;
    let request = request.ok_or_else(|| {
        let message = format!(
            "neither the pod's annotation tracebuffer.dev/inject nor the label of namespace {name} \
             asks for a sidecar"
        );
        Skip::new(SkipReason::NotRequested, message)
    })?;
    if request == InjectRequest::Never {
        let message = "the pod's annotation tracebuffer.dev/inject is \"false\"";
        return Err(Skip::new(SkipReason::OptedOut, message));
    }
    if is_excluded(name, &cluster.own_namespace) {
        return Err(Skip::excluded(name));
    }
    Ok(request)
}

/// Returns the `TraceBuffer` of a sidecar that is there, if this pod may still use it.
fn complete<S>(
    key: &ObjectKey,
    namespace: &NamespaceFacts,
    known: impl Fn(&Wanted) -> Vec<Arc<Candidate<S>>>,
) -> Result<Decision<S>, Skip> {
    let candidates = known(&Wanted::One(key.clone())).into_iter();
    let mut usable = candidates.filter(|candidate| allows(candidate, &namespace.name));
    usable.next().map(Decision::Complete).ok_or_else(|| {
        let message = format!("the sidecar of TraceBuffer {key} is there already");
        Skip::new(SkipReason::AlreadyInjected, message)
    })
}

/// What stands against a sidecar in `pod`, whatever `TraceBuffer` it is made from.
fn suits_any(pod: &PodFacts) -> Result<(), Skip> {
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
    if pod.mirrors_static {
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

fn find<S>(
    request: &InjectRequest,
    namespace: &NamespaceFacts,
    known: impl Fn(&Wanted) -> Vec<Arc<Candidate<S>>>,
) -> Result<Arc<Candidate<S>>, Skip> {
    let namespace = &namespace.name;
    let candidate = match wanted(request, namespace) {
        Some(Wanted::One(key)) => named(&key, known)?,
        _ => default_of(namespace, known)?,
    };
    if !allows(&candidate, namespace) {
        let message = format!(
            "TraceBuffer {} does not allow pods of namespace {namespace}; add {namespace} to its \
             spec.allowedNamespaces",
            candidate.key
        );
        return Err(Skip::new(SkipReason::NotAllowed, message));
    }
    Ok(candidate)
}

fn named<S>(
    key: &ObjectKey,
    known: impl Fn(&Wanted) -> Vec<Arc<Candidate<S>>>,
) -> Result<Arc<Candidate<S>>, Skip> {
    known(&Wanted::One(key.clone())).into_iter().next().ok_or_else(|| {
        let message = format!(
            "there is no TraceBuffer {key}; create it, or name another in annotation \
             tracebuffer.dev/inject"
        );
        Skip::new(SkipReason::TraceBufferNotFound, message)
    })
}

fn default_of<S>(
    namespace: &str,
    known: impl Fn(&Wanted) -> Vec<Arc<Candidate<S>>>,
) -> Result<Arc<Candidate<S>>, Skip> {
    let all = known(&Wanted::AllOf(namespace.to_owned()));
    if let Some(candidate) = all.iter().find(|one| one.key.name == DEFAULT_NAME) {
        return Ok(Arc::clone(candidate));
    }
    match all.as_slice() {
        [] => {
            let message = format!(
                "namespace {namespace} has no TraceBuffer; create one, or name one of another \
                 namespace as \"<namespace>/<name>\" in annotation tracebuffer.dev/inject"
            );
            Err(Skip::new(SkipReason::NoTraceBuffer, message))
        }
        [only] => Ok(Arc::clone(only)),
        several => {
            let names = listed(several.iter().map(|one| one.key.name.as_str()), MOST_NAMES);
            let message = format!(
                "namespace {namespace} has several TraceBuffers and none is named {DEFAULT_NAME}; \
                 name one in annotation tracebuffer.dev/inject: {names}"
            );
            Err(Skip::new(SkipReason::SeveralTraceBuffers, message))
        }
    }
}

fn allows<S>(candidate: &Candidate<S>, namespace: &str) -> bool {
    let allowed = &candidate.allowed_namespaces;
    candidate.key.namespace == namespace
        || allowed.iter().any(|entry| entry == namespace || entry == EVERY_NAMESPACE)
}

/// Returns whether the sidecar is to be a native one, if it suits the pod at all.
fn suits<S: Shape>(
    pod: &PodFacts,
    candidate: &Candidate<S>,
    cluster: &ClusterFacts,
) -> Result<bool, Skip> {
    let key = &candidate.key;
    let sidecar = candidate.sidecar.as_ref();
    let sidecar = sidecar.map_err(|mistakes| Skip::not_accepted(key, mistakes))?;
    let native = is_native(pod, key, sidecar.mode(), cluster)?;
    if let Some(name) = sidecar.volumes().find(|name| pod.volumes.iter().any(|has| has == name)) {
        let message = format!(
            "a volume of the pod is named {} like one of the sidecar's; rename it",
            quoted(name)
        );
        return Err(Skip::new(SkipReason::NameConflict, message));
    }
    has_free_ports(pod, key, sidecar.ports())?;
    Ok(native)
}

fn is_native(
    pod: &PodFacts,
    key: &ObjectKey,
    mode: SidecarMode,
    cluster: &ClusterFacts,
) -> Result<bool, Skip> {
    let needs = |message| Err(Skip::new(SkipReason::NeedsNativeSidecar, message));
    match mode {
        SidecarMode::Native if !cluster.native_sidecars => needs(format!(
            "TraceBuffer {key} wants a native sidecar (sidecar.mode: Native), which this cluster \
             lacks: Kubernetes 1.29 or later has them; set the mode to Auto"
        )),
        SidecarMode::Container if pod.runs_to_completion => needs(format!(
            "the pod runs to completion, and the plain container that TraceBuffer {key} wants \
             (sidecar.mode: Container) would never let it end; set the mode to Auto"
        )),
        SidecarMode::Auto if pod.runs_to_completion && !cluster.native_sidecars => needs(
            "the pod runs to completion, and a plain container would never let it end; Kubernetes \
             1.29 or later has native sidecars"
                .to_owned(),
        ),
        SidecarMode::Auto => Ok(cluster.native_sidecars),
        SidecarMode::Native => Ok(true),
        SidecarMode::Container => Ok(false),
    }
}

fn has_free_ports(pod: &PodFacts, key: &ObjectKey, ports: SidecarPorts) -> Result<(), Skip> {
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
#[path = "decide_tests.rs"]
mod tests;
