//! Injects sidecars into manifests without a cluster: into pods and into the pod templates of workloads.

mod documents;
mod error;
mod templates;

use std::sync::Arc;

use serde_json::Value;

pub use self::error::ManifestError;

use self::documents::Document;
use self::templates::{PodTemplate, pod_templates};
use super::names;
use super::namespace::namespace_facts;
use super::pod::{InjectionOutcome, InvalidPod, apply_decision, pod_facts};
use super::resource::TraceBuffer;
use super::sidecar::{Sidecar, SidecarDefaults, trace_buffer_view};
use crate::domain::operator::injection::decide::{Decision, decide};
use crate::domain::operator::injection::facts::{ClusterFacts, NamespaceFacts};
use crate::domain::operator::injection::trace_buffer_view::TraceBufferView;
use crate::domain::operator::object_key::ObjectKey;

/// What replaces the state of a cluster.
#[derive(Clone, Debug)]
pub struct OfflineInjector {
    /// The namespace of objects that name none.
    pub namespace: String,
    /// All `TraceBuffer`s.
    pub trace_buffers: Vec<Arc<TraceBufferView<Sidecar>>>,
}

/// A manifest with injected sidecars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectedManifest {
    /// The text of the manifest. Documents without a new sidecar are unchanged; the others lose their
    /// comments.
    pub manifest: String,
    /// One line for each pod that was injected or skipped, and for each warning, with the object's name.
    pub messages: Vec<String>,
}

/// Reads the `TraceBuffer`s of a manifest and ignores other objects. A `TraceBuffer` without a namespace
/// is in `namespace`.
///
/// # Errors
///
/// [`ManifestError`] if the manifest cannot be parsed, has no `TraceBuffer`, or one with errors.
pub fn parse_trace_buffers(
    manifest: &str,
    namespace: &str,
    defaults: &SidecarDefaults,
) -> Result<Vec<Arc<TraceBufferView<Sidecar>>>, ManifestError> {
    let mut trace_buffers = vec![];
    for document in documents::parse_documents(manifest)? {
        if is_trace_buffer(&document.value) {
            trace_buffers.push(Arc::new(parse_trace_buffer(document.value, namespace, defaults)?));
        }
    }
    if trace_buffers.is_empty() {
        return Err(ManifestError::NoTraceBuffer(api_version()));
    }
    Ok(trace_buffers)
}

fn parse_trace_buffer(
    object: Value,
    namespace: &str,
    defaults: &SidecarDefaults,
) -> Result<TraceBufferView<Sidecar>, ManifestError> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let key = ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() };
    let invalid = |key: &ObjectKey, message: &str| {
        let (key, message) = (key.to_string(), message.to_owned());
        ManifestError::InvalidTraceBuffer { key, message }
    };
    let mut object: TraceBuffer =
        serde_json::from_value(object).map_err(|error| invalid(&key, &error.to_string()))?;
    object.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    let view = trace_buffer_view(&object, defaults);
    match &view.sidecar {
        Ok(_) => Ok(view),
        Err(errors) => Err(invalid(&view.key, errors)),
    }
}

/// Reads the Namespace objects of a manifest.
fn namespaces(documents: &[Document<'_>]) -> Vec<NamespaceFacts> {
    let objects = documents.iter().flat_map(|document| {
        let items = document.value.get("items").and_then(Value::as_array);
        [&document.value].into_iter().chain(items.into_iter().flatten())
    });
    let namespaces = objects.filter(|object| {
        object.get("apiVersion").is_some_and(|version| version == "v1")
            && object.get("kind").is_some_and(|kind| kind == "Namespace")
    });
    let metadata = namespaces
        .filter_map(|object| serde_json::from_value(object.get("metadata")?.clone()).ok());
    metadata.map(|metadata| namespace_facts(&metadata)).collect()
}

fn is_trace_buffer(object: &Value) -> bool {
    let is = |key: &str, value: &str| object.get(key).is_some_and(|has| has == value);
    is("apiVersion", &api_version()) && is("kind", &<TraceBuffer as kube::Resource>::kind(&()))
}

fn api_version() -> String {
    <TraceBuffer as kube::Resource>::api_version(&()).into_owned()
}

impl OfflineInjector {
    /// Returns `manifest` with a sidecar in every pod and pod template that opts in.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] if the manifest cannot be parsed or contains an invalid pod.
    pub fn inject(&self, manifest: &str) -> Result<InjectedManifest, ManifestError> {
        let (mut text, mut messages) = (String::new(), vec![]);
        let documents = documents::parse_documents(manifest)?;
        let namespaces = namespaces(&documents);
        for mut document in documents {
            let before = document.value.clone();
            let templates = pod_templates(&before);
            messages.extend(templates.unknown.iter().map(|object| unknown_kind(object)));
            for template in templates.known {
                let namespace = template.namespace.as_ref().unwrap_or(&self.namespace);
                let known = namespaces.iter().find(|known| known.name == *namespace).cloned();
                let namespace = known.unwrap_or_else(|| NamespaceFacts::unknown(namespace));
                self.inject_template(&mut document.value, &template, &namespace, &mut messages)?;
            }
            if document.value == before {
                text.push_str(document.text);
            } else {
                if document.text.starts_with("---") {
                    text.push_str("---\n");
                }
                text.push_str(&documents::serialize_like(document.text, &document.value)?);
            }
        }
        Ok(InjectedManifest { manifest: text, messages })
    }

    fn inject_template(
        &self,
        document: &mut Value,
        template: &PodTemplate,
        namespace: &NamespaceFacts,
        messages: &mut Vec<String>,
    ) -> Result<(), ManifestError> {
        messages.extend(misplaced_annotation(document, template));
        let Some(pod) = document.pointer_mut(&template.pointer) else { return Ok(()) };
        let facts = pod_facts(pod).map_err(|error| template.invalid_pod_error(&error))?;
        let decision = decide(&facts, namespace, &ClusterFacts::default(), &self.trace_buffers);
        let admission = apply_decision(pod, &decision);
        let object = &template.object_name;
        match (&decision, &admission.outcome) {
            (_, InjectionOutcome::Injected(key)) => {
                messages.push(format!("{object}: injected the sidecar of TraceBuffer {key}"));
            }
            // The status annotation is left out, so that the webhook decides again.
            (Decision::Skip(skip), InjectionOutcome::Skipped(reason)) => {
                if reason.should_warn() {
                    messages.push(format!(
                        "{object}: no sidecar ({}): {}",
                        reason.as_str(),
                        skip.message
                    ));
                }
                return Ok(());
            }
            _ => {}
        }
        messages.extend(
            pull_secrets_warning(pod, &decision).map(|warning| format!("{object}: {warning}")),
        );
        let warnings = admission.warnings.iter();
        messages.extend(warnings.map(|text| format!("{object}: {}", without_prefix(text))));
        json_patch::patch(pod, &admission.patch)
            .map_err(|error| ManifestError::NotSerializable(error.to_string()))
    }
}

impl PodTemplate {
    fn invalid_pod_error(&self, error: &InvalidPod) -> ManifestError {
        let path = self.pointer.strip_prefix(&self.object_pointer).unwrap_or_default();
        let field = format!("{}.{}", path.replace('/', "."), error.field);
        let field = field.trim_start_matches('.').to_owned();
        ManifestError::InvalidPod {
            object: self.object_name.clone(),
            field,
            message: error.message.to_owned(),
        }
    }
}

/// Returns a warning if the annotation is on the object, where it has no effect, instead of on its pod
/// template.
fn misplaced_annotation(document: &Value, template: &PodTemplate) -> Option<String> {
    let has = |pointer: &str| {
        let annotations = document.pointer(&format!("{pointer}/metadata/annotations"));
        annotations.is_some_and(|all| all.get(names::INJECT_KEY).is_some())
    };
    let is_misplaced = template.pointer != template.object_pointer
        && has(&template.object_pointer)
        && !has(&template.pointer);
    is_misplaced.then(|| {
        let path = template.pointer.strip_prefix(&template.object_pointer).unwrap_or_default();
        let path = path.trim_start_matches('/').replace('/', ".");
        format!(
            "{}: no sidecar: annotation {} is on the object; move it to {path}.metadata.annotations",
            template.object_name,
            names::INJECT_KEY,
        )
    })
}

/// Returns a warning if the pod gets its first pull secrets, which replace those of its service account.
fn pull_secrets_warning(pod: &Value, decision: &Decision<Sidecar>) -> Option<String> {
    let Decision::Inject { sidecar, .. } = decision else { return None };
    let existing = pod.pointer("/spec/imagePullSecrets").and_then(Value::as_array);
    let adds_first = !sidecar.image_pull_secrets.is_empty() && existing.is_none_or(Vec::is_empty);
    adds_first.then(|| {
        "imagePullSecrets of the sidecar were added; those of the pod's service account are no longer \
         used, so name them in the pod if it needs them"
            .to_owned()
    })
}

fn unknown_kind(object: &str) -> String {
    format!(
        "{object}: left as it is: the place of its pod template is not known; its pods get the sidecar \
         when the operator's webhook sees them"
    )
}

fn without_prefix(warning: &str) -> &str {
    warning.strip_prefix("tracebuffer: ").unwrap_or(warning)
}

#[cfg(test)]
mod tests;
