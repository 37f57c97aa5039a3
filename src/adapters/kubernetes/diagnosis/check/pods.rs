//! Pods whose sidecar is missing or outdated.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::PartialObjectMeta;

use crate::adapters::kubernetes::diagnosis::check_input::CheckInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section, join_names};
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::namespace::{misconfiguration, namespace_facts};
use crate::adapters::kubernetes::pod::sidecar_failure::{sidecar_failure, sidecar_status};
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::sidecar::{Sidecar, SidecarDefaults, trace_buffer_view};
use crate::adapters::kubernetes::watch::pod_snapshot;
use crate::domain::operator::injection::facts::NamespaceFacts;
use crate::domain::operator::injection::pod_snapshot::PodSnapshot;
use crate::domain::operator::injection::status::{InjectedSidecar, InjectionStatus};
use crate::domain::operator::injection::trace_buffer_view::TraceBufferView;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::managed_pod::SidecarFailure;
use crate::domain::operator::reconcile::sidecar_state::{
    MissingReason, missing_reason, outdated_reason,
};
use crate::domain::text::pluralize;

const SECTION: Section = Section("Pods");
const SIDECAR_IMAGE_VAR: &str = "TRACEBUFFER_SIDECAR_IMAGE";
const RESTART_REMEDY: &str = "recreate the pods: `kubectl rollout restart`";

/// The names of pods, by the state of their sidecar.
#[derive(Default)]
struct PodGroups {
    current: usize,
    failing: Vec<String>,
    bypassing: Vec<String>,
    /// Pods whose `TraceBuffer` was not read or has errors, so that nothing is known of them.
    unknown: usize,
    missing: Vec<String>,
    outdated: Vec<String>,
    orphaned: Vec<String>,
    disallowed: Vec<String>,
    skipped: Vec<String>,
}

type TraceBuffers = BTreeMap<ObjectKey, TraceBufferView<Sidecar>>;

pub(super) fn check(input: &CheckInput) -> Vec<Finding> {
    let pods = match input.pods.or_finding(SECTION, "sidecars") {
        Ok(pods) => pods.map_or(&[][..], Vec::as_slice),
        Err(finding) => return vec![finding],
    };
    let mut findings = group_pods(input, pods).findings();
    findings.extend(misconfigured_namespaces(input));
    findings.extend(outdated_images(input));
    findings
}

fn group_pods(input: &CheckInput, pods: &[PartialObjectMeta<Pod>]) -> PodGroups {
    let trace_buffers = trace_buffers(input);
    let cluster = input.operator.cluster_facts();
    let namespaces = input.namespaces.iter().map(namespace_facts);
    let namespaces: BTreeMap<_, _> = namespaces.map(|one| (one.name.clone(), one)).collect();
    let failures = sidecar_failures(input);
    let mut groups = PodGroups::default();
    for pod in pods.iter().map(|pod| pod_snapshot(pod.metadata.clone())) {
        if pod.is_terminating {
            continue;
        }
        let namespace = namespaces.get(&pod.key.namespace);
        let opted_in = namespace.is_some_and(|namespace| namespace.opted_in);
        if let Some(InjectionStatus::Injected(injected)) = &pod.status {
            let is_read =
                !input.is_single_namespace || injected.trace_buffer.namespace == pod.key.namespace;
            let trace_buffers = trace_buffers.as_ref().filter(|_| is_read);
            if injected.is_bypassed {
                groups.bypassing.push(pod.key.to_string());
            }
            match failures.get(&pod.key) {
                Some(failure) => groups.failing.push(format!("{} ({})", pod.key, failure.reason)),
                None => groups.add_injected(&pod, injected, namespace, trace_buffers),
            }
        } else if let Some(reason) = missing_reason(&pod, opted_in, &cluster) {
            groups.add_missing(&pod, &reason);
        }
    }
    groups
}

impl PodGroups {
    fn add_injected(
        &mut self,
        pod: &PodSnapshot,
        injected: &InjectedSidecar,
        namespace: Option<&NamespaceFacts>,
        trace_buffers: Option<&TraceBuffers>,
    ) {
        let key = &injected.trace_buffer;
        let Some(trace_buffers) = trace_buffers else {
            self.unknown += 1;
            return;
        };
        let Some(view) = trace_buffers.get(key) else {
            self.orphaned.push(format!("{} ({key})", pod.key));
            return;
        };
        match &view.sidecar {
            Err(_) => self.unknown += 1,
            Ok(_) if namespace.is_some_and(|namespace| !view.allows(namespace)) => {
                self.disallowed.push(format!("{} ({key})", pod.key));
            }
            Ok(sidecar) => match outdated_reason(injected, &sidecar.uid, &sidecar.desired()) {
                Some(_) => self.outdated.push(pod.key.to_string()),
                None => self.current += 1,
            },
        }
    }

    fn add_missing(&mut self, pod: &PodSnapshot, reason: &MissingReason) {
        match reason {
            MissingReason::WebhookNotCalled => self.missing.push(pod.key.to_string()),
            MissingReason::Skipped { reason, .. } => {
                self.skipped.push(format!("{} ({})", pod.key, reason.as_str()));
            }
        }
    }

    fn findings(self) -> Vec<Finding> {
        let current = format!("{} with a current sidecar", pluralize(self.current, "pod"));
        let mut findings = vec![SECTION.ok("current", current)];
        if self.unknown > 0 {
            let unknown = pluralize(self.unknown, "pod");
            let message =
                format!("{unknown} with a sidecar whose TraceBuffer was not read or has errors");
            findings.push(SECTION.skipped("unknown", message));
        }
        let explain = "see `tracebuffer explain pod NAME -n NAMESPACE`";
        let describe = |pods: &[String], what: &str| {
            format!("{} {what}: {}", pluralize(pods.len(), "pod"), join_names(pods))
        };
        if !self.failing.is_empty() {
            let message = describe(&self.failing, "whose sidecar does not run");
            findings.push(SECTION.failed("failing", message, explain));
        }
        let mut add = |name: &str, pods: &[String], what: &str, remedy: &str| {
            if !pods.is_empty() {
                findings.push(SECTION.warning(name, describe(pods, what), remedy));
            }
        };
        let missing = "asking for a sidecar, for which the webhook was not called";
        add("missing", &self.missing, missing, &format!("{RESTART_REMEDY}; {explain}"));
        add("skipped", &self.skipped, "asking for a sidecar and skipped", explain);
        add("outdated", &self.outdated, "with an outdated sidecar", RESTART_REMEDY);
        let disallowed = "with the sidecar of a TraceBuffer that no longer allows their namespace";
        let remedy = "extend its allowedNamespaces; recreated pods get no sidecar";
        add("not allowed", &self.disallowed, disallowed, remedy);
        let bypassing = "with a container whose traces do not reach the sidecar";
        add("bypassing", &self.bypassing, bypassing, explain);
        let orphaned = "whose TraceBuffer was deleted; their sidecars keep running";
        add("orphaned", &self.orphaned, orphaned, "recreate the TraceBuffer or the pods");
        findings
    }
}

/// Returns the sidecars that do not run; none if their pods could not be read.
fn sidecar_failures(input: &CheckInput) -> BTreeMap<ObjectKey, SidecarFailure> {
    let failure = |pod: &Pod| {
        let status = pod.status.as_ref()?;
        let lists = [&status.init_container_statuses, &status.container_statuses];
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        Some((ObjectKey { namespace, name }, sidecar_failure(sidecar_status(lists)?)?))
    };
    input.injected_pods.get().into_iter().flatten().filter_map(failure).collect()
}

/// Reports labels and annotations of Namespaces that have no effect there.
fn misconfigured_namespaces(input: &CheckInput) -> Option<Finding> {
    let errors = input.namespaces.iter().filter_map(|metadata| {
        let name = metadata.name.as_deref().unwrap_or_default();
        Some(format!("{name}: {}", misconfiguration(metadata)?))
    });
    let errors: Vec<_> = errors.collect();
    let remedy = "correct the labels and annotations of the Namespace";
    (!errors.is_empty()).then(|| SECTION.warning("namespaces", join_names(&errors), remedy))
}

/// Returns `None` if the `TraceBuffer`s could not be read.
fn trace_buffers(input: &CheckInput) -> Option<TraceBuffers> {
    let image = input.operator.env_var(SIDECAR_IMAGE_VAR).unwrap_or_default().to_owned();
    let defaults = SidecarDefaults { image, ..SidecarDefaults::unknown() };
    let views =
        input.trace_buffers.get()?.iter().map(|object| trace_buffer_view(object, &defaults));
    Some(views.map(|view| (view.key.clone(), view)).collect())
}

/// Reports sidecars that run another image than new ones would.
fn outdated_images(input: &CheckInput) -> Option<Finding> {
    const NAME: &str = "images";
    let default = input.operator.env_var(SIDECAR_IMAGE_VAR)?;
    let configured: Vec<_> =
        input.trace_buffers.get()?.iter().filter_map(configured_image).collect();
    let injected = input.injected_pods.get()?.iter();
    let outdated: Vec<_> = injected
        .filter_map(|pod| Some((pod, sidecar_image(pod)?)))
        .filter(|(_, image)| *image != default && !configured.contains(image))
        .map(|(pod, image)| {
            format!("{}/{} ({image})", pod.namespace().unwrap_or_default(), pod.name_any())
        })
        .collect();
    if outdated.is_empty() {
        let message = format!("all sidecars run {default} or the image of their TraceBuffer");
        return Some(SECTION.ok(NAME, message));
    }
    let pods = pluralize(outdated.len(), "pod");
    let message = format!("{pods} with an image other than {default}: {}", join_names(&outdated));
    Some(SECTION.warning(NAME, message, RESTART_REMEDY))
}

fn configured_image(object: &TraceBuffer) -> Option<&str> {
    object.spec.sidecar.image.as_deref()
}

fn sidecar_image(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    containers.find(|container| container.name == names::SIDECAR_CONTAINER)?.image.as_deref()
}
