//! Which pods lack a sidecar, or have an old one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::PartialObjectMeta;

use super::few;
use crate::adapters::kubernetes::diagnosis::facts::Facts;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};
use crate::adapters::kubernetes::names;
use crate::adapters::kubernetes::namespace::{mistake, namespace_facts};
use crate::adapters::kubernetes::pod::status::from_annotation;
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::adapters::kubernetes::sidecar::{SidecarDefaults, build};
use crate::domain::injection::candidate::ObjectKey;
use crate::domain::injection::facts::ClusterFacts;
use crate::domain::injection::request::InjectRequest;
use crate::domain::injection::status::{Injected, PodStatus};
use crate::domain::injection::words::counted;

const SECTION: Section = Section("Pods");
const IMAGE_VARIABLE: &str = "TRACEBUFFER_SIDECAR_IMAGE";
const RESTART: &str = "recreate them: `kubectl rollout restart`";

/// The pods that are not as they should be, by name.
#[derive(Default)]
struct Sorted {
    cluster: ClusterFacts,
    current: usize,
    bare: Vec<String>,
    outdated: Vec<String>,
    orphaned: Vec<String>,
    skipped: Vec<String>,
}

/// The newest sidecar of each `TraceBuffer`: UID and hash, unless it has mistakes.
type Newest = BTreeMap<ObjectKey, (String, Option<String>)>;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let pods = match facts.pods.or_finding(SECTION, "sidecars") {
        Ok(pods) => pods.map_or(&[][..], Vec::as_slice),
        Err(finding) => return vec![finding],
    };
    let newest = newest(facts);
    let mut sorted = Sorted { cluster: facts.operator.cluster(), ..Sorted::default() };
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        sorted.sort(pod, facts, newest.as_ref());
    }
    let mut findings = sorted.findings();
    findings.extend(namespaces(facts));
    findings.extend(images(facts));
    findings
}

impl Sorted {
    fn sort(&mut self, pod: &PartialObjectMeta<Pod>, facts: &Facts, newest: Option<&Newest>) {
        let name = key(pod);
        match pod.annotations().get(names::STATUS).and_then(|value| from_annotation(value)) {
            Some(PodStatus::Injected(injected)) => match newest {
                Some(newest) => self.sort_injected(name, &injected, newest),
                None => self.current += 1,
            },
            Some(PodStatus::Skipped { reason, .. }) if reason.is_surprising() => {
                self.skipped.push(format!("{name} ({})", reason.as_str()));
            }
            None if self.asks(pod, facts) => self.bare.push(name),
            _ => {}
        }
    }

    fn asks(&self, pod: &PartialObjectMeta<Pod>, facts: &Facts) -> bool {
        let namespace = pod.namespace().unwrap_or_default();
        let annotation = pod.annotations().get(names::INJECT).map(String::as_str);
        let mut known = facts.namespaces.iter().map(namespace_facts);
        let asks = known.any(|known| known.name == namespace && known.asks);
        let request = InjectRequest::of(annotation, asks);
        !self.cluster.excludes(&namespace)
            && !matches!(request, Ok(None | Some(InjectRequest::Never)))
    }

    fn sort_injected(&mut self, name: String, injected: &Injected, newest: &Newest) {
        match newest.get(&injected.trace_buffer) {
            None => self.orphaned.push(format!("{name} ({})", injected.trace_buffer)),
            Some((uid, Some(hash))) if *uid != injected.uid || *hash != injected.hash => {
                self.outdated.push(name);
            }
            _ => self.current += 1,
        }
    }

    fn findings(self) -> Vec<Finding> {
        let current = format!("{} with a current sidecar", counted(self.current, "pod"));
        let mut findings = vec![SECTION.ok("current", current)];
        let mut add = |name: &str, pods: &[String], what: &str, remedy: &str| {
            if !pods.is_empty() {
                let message = format!("{} {what}: {}", counted(pods.len(), "pod"), few(pods));
                findings.push(SECTION.warning(name, message, remedy));
            }
        };
        let bare = "asking for a sidecar, for which the webhook was not called";
        let explain = "see `tracebuffer explain pod NAME -n NAMESPACE`";
        add("without", &self.bare, bare, &format!("{RESTART}; {explain}"));
        add("skipped", &self.skipped, "asking for a sidecar and skipped", explain);
        add("outdated", &self.outdated, "with a sidecar from before a change", RESTART);
        let orphaned = "whose TraceBuffer is gone; they run on";
        add("orphaned", &self.orphaned, orphaned, "create the TraceBuffer again, or the pods anew");
        findings
    }
}

fn key(pod: &PartialObjectMeta<Pod>) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

/// Whether something is set on a Namespace that means nothing there, and would go unnoticed.
fn namespaces(facts: &Facts) -> Option<Finding> {
    let wrong = facts.namespaces.iter().filter_map(|metadata| {
        let name = metadata.name.as_deref().unwrap_or_default();
        Some(format!("{name}: {}", mistake(metadata)?))
    });
    let wrong: Vec<_> = wrong.collect();
    let remedy = "correct the labels and annotations of the Namespace";
    (!wrong.is_empty()).then(|| SECTION.warning("namespaces", few(&wrong), remedy))
}

/// `None` where not every `TraceBuffer` could be seen.
fn newest(facts: &Facts) -> Option<Newest> {
    if facts.only_one_namespace {
        return None;
    }
    let image = facts.operator.variable(IMAGE_VARIABLE).unwrap_or_default().to_owned();
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
fn images(facts: &Facts) -> Option<Finding> {
    const NAME: &str = "images";
    let newest = facts.operator.variable(IMAGE_VARIABLE)?;
    let chosen: Vec<_> = facts.trace_buffers.get()?.iter().filter_map(own_image).collect();
    let injected = facts.injected.get()?.iter();
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
    let pods = counted(old.len(), "pod");
    let message = format!("{pods} with another image than {newest}: {}", few(&old));
    Some(SECTION.warning(NAME, message, RESTART))
}

fn own_image(object: &TraceBuffer) -> Option<&str> {
    object.spec.sidecar.image.as_deref()
}

fn sidecar_image(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
    all.find(|container| container.name == names::CONTAINER)?.image.as_deref()
}
