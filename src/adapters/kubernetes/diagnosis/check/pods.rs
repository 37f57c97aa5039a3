//! Which pods lack a sidecar, or have an old one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::PartialObjectMeta;

use super::join_names;
use crate::adapters::kubernetes::diagnosis::check_input::CheckInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::namespace::{misconfiguration, namespace_facts};
use crate::adapters::kubernetes::pod::status::from_annotation;
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::sidecar::{SidecarDefaults, build};
use crate::domain::operator::injection::facts::ClusterFacts;
use crate::domain::operator::injection::request::InjectRequest;
use crate::domain::operator::injection::status::{InjectedSidecar, InjectionStatus};
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::text::pluralize;

const SECTION: Section = Section("Pods");
const SIDECAR_IMAGE_VAR: &str = "TRACEBUFFER_SIDECAR_IMAGE";
const RESTART_REMEDY: &str = "recreate them: `kubectl rollout restart`";

/// The pods that are not as they should be, by name.
#[derive(Default)]
struct PodGroups {
    cluster: ClusterFacts,
    current: usize,
    missing: Vec<String>,
    outdated: Vec<String>,
    orphaned: Vec<String>,
    skipped: Vec<String>,
}

/// The newest sidecar of each `TraceBuffer`: UID and hash, unless it has mistakes.
type CurrentSidecars = BTreeMap<ObjectKey, (String, Option<String>)>;

pub(super) fn check(facts: &CheckInput) -> Vec<Finding> {
    let pods = match facts.pods.or_finding(SECTION, "sidecars") {
        Ok(pods) => pods.map_or(&[][..], Vec::as_slice),
        Err(finding) => return vec![finding],
    };
    let newest = current_sidecars(facts);
    let mut sorted = PodGroups { cluster: facts.operator.cluster_facts(), ..PodGroups::default() };
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        sorted.classify(pod, facts, newest.as_ref());
    }
    let mut findings = sorted.findings();
    findings.extend(misconfigured_namespaces(facts));
    findings.extend(outdated_images(facts));
    findings
}

impl PodGroups {
    fn classify(
        &mut self,
        pod: &PartialObjectMeta<Pod>,
        facts: &CheckInput,
        newest: Option<&CurrentSidecars>,
    ) {
        let name = pod_name(pod);
        match pod.annotations().get(names::STATUS).and_then(|value| from_annotation(value)) {
            Some(InjectionStatus::Injected(injected)) => match newest {
                Some(newest) => self.classify_injected(name, &injected, newest),
                None => self.current += 1,
            },
            Some(InjectionStatus::Skipped { reason, .. }) if reason.should_warn() => {
                self.skipped.push(format!("{name} ({})", reason.as_str()));
            }
            None if self.opts_in(pod, facts) => self.missing.push(name),
            _ => {}
        }
    }

    fn opts_in(&self, pod: &PartialObjectMeta<Pod>, facts: &CheckInput) -> bool {
        let namespace = pod.namespace().unwrap_or_default();
        let annotation = pod.annotations().get(names::INJECT).map(String::as_str);
        let mut known = facts.namespaces.iter().map(namespace_facts);
        let asks = known.any(|known| known.name == namespace && known.opted_in);
        let request = InjectRequest::resolve(annotation, asks);
        !self.cluster.excludes(&namespace)
            && !matches!(request, Ok(None | Some(InjectRequest::OptOut)))
    }

    fn classify_injected(
        &mut self,
        name: String,
        injected: &InjectedSidecar,
        newest: &CurrentSidecars,
    ) {
        match newest.get(&injected.trace_buffer) {
            None => self.orphaned.push(format!("{name} ({})", injected.trace_buffer)),
            Some((uid, Some(hash))) if *uid != injected.uid || *hash != injected.hash => {
                self.outdated.push(name);
            }
            _ => self.current += 1,
        }
    }

    fn findings(self) -> Vec<Finding> {
        let current = format!("{} with a current sidecar", pluralize(self.current, "pod"));
        let mut findings = vec![SECTION.ok("current", current)];
        let mut add = |name: &str, pods: &[String], what: &str, remedy: &str| {
            if !pods.is_empty() {
                let message =
                    format!("{} {what}: {}", pluralize(pods.len(), "pod"), join_names(pods));
                findings.push(SECTION.warning(name, message, remedy));
            }
        };
        let bare = "asking for a sidecar, for which the webhook was not called";
        let explain = "see `tracebuffer explain pod NAME -n NAMESPACE`";
        add("without", &self.missing, bare, &format!("{RESTART_REMEDY}; {explain}"));
        add("skipped", &self.skipped, "asking for a sidecar and skipped", explain);
        add("outdated", &self.outdated, "with a sidecar from before a change", RESTART_REMEDY);
        let orphaned = "whose TraceBuffer is gone; they run on";
        add("orphaned", &self.orphaned, orphaned, "create the TraceBuffer again, or the pods anew");
        findings
    }
}

fn pod_name(pod: &PartialObjectMeta<Pod>) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

/// Whether something is set on a Namespace that means nothing there, and would go unnoticed.
fn misconfigured_namespaces(facts: &CheckInput) -> Option<Finding> {
    let wrong = facts.namespaces.iter().filter_map(|metadata| {
        let name = metadata.name.as_deref().unwrap_or_default();
        Some(format!("{name}: {}", misconfiguration(metadata)?))
    });
    let wrong: Vec<_> = wrong.collect();
    let remedy = "correct the labels and annotations of the Namespace";
    (!wrong.is_empty()).then(|| SECTION.warning("namespaces", join_names(&wrong), remedy))
}

/// `None` where not every `TraceBuffer` could be seen.
fn current_sidecars(facts: &CheckInput) -> Option<CurrentSidecars> {
    if facts.is_single_namespace {
        return None;
    }
    let image = facts.operator.env_var(SIDECAR_IMAGE_VAR).unwrap_or_default().to_owned();
    let defaults = SidecarDefaults { image, ..SidecarDefaults::unknown() };
    let each = facts.trace_buffers.get()?.iter().map(|object| {
        let namespace = object.namespace().unwrap_or_default();
        let key = ObjectKey { namespace, name: object.name_any() };
        let hash = build(object, &defaults).ok().map(|sidecar| sidecar.hash);
        (key, (object.uid().unwrap_or_default(), hash))
    });
    Some(each.collect())
}

/// Whether sidecars run the image that new ones get.
fn outdated_images(facts: &CheckInput) -> Option<Finding> {
    const NAME: &str = "images";
    let newest = facts.operator.env_var(SIDECAR_IMAGE_VAR)?;
    let chosen: Vec<_> = facts.trace_buffers.get()?.iter().filter_map(configured_image).collect();
    let injected = facts.injected_pods.get()?.iter();
    let old: Vec<_> = injected
        .filter_map(|pod| Some((pod, sidecar_image(pod)?)))
        .filter(|(_, image)| *image != newest && !chosen.contains(image))
        .map(|(pod, image)| {
            format!("{}/{} ({image})", pod.namespace().unwrap_or_default(), pod.name_any())
        })
        .collect();
    if old.is_empty() {
        return Some(SECTION.ok(NAME, format!("sidecars run {newest}, or what they were told to")));
    }
    let pods = pluralize(old.len(), "pod");
    let message = format!("{pods} with another image than {newest}: {}", join_names(&old));
    Some(SECTION.warning(NAME, message, RESTART_REMEDY))
}

fn configured_image(object: &TraceBuffer) -> Option<&str> {
    object.spec.sidecar.image.as_deref()
}

fn sidecar_image(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
    all.find(|container| container.name == names::SIDECAR_CONTAINER)?.image.as_deref()
}
