//! Injecting into manifests, without a cluster: pods, and the templates of what makes pods.

mod documents;
mod templates;

use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

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

/// What stands in for the cluster.
#[derive(Clone, Debug)]
pub struct OfflineInjector {
    /// The namespace of objects that name none.
    pub namespace: String,
    /// The `TraceBuffer`s there are.
    pub trace_buffers: Vec<Arc<TraceBufferView<Sidecar>>>,
}

/// A manifest with sidecars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectedManifest {
    /// Its text. Documents without a new sidecar are as they were; the others have lost their
    /// comments.
    pub manifest: String,
    /// What was done and what was not, a line for each, with the object's name.
    pub messages: Vec<String>,
}

/// Why a manifest cannot be worked on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// It is no YAML.
    #[error("document {document}: {message}")]
    Syntax {
        /// Which of its documents, from 1.
        document: usize,
        /// What the parser says.
        message: String,
    },
    /// An object has no pod where it should.
    #[error("{object}: {field} {message}")]
    InvalidPod {
        /// The object, such as `Deployment web`.
        object: String,
        /// The field, seen from the object.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// A `TraceBuffer` is not as it should be.
    #[error("TraceBuffer {key}: {message}")]
    InvalidTraceBuffer {
        /// Its name.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// There is no `TraceBuffer` where one should be.
    #[error("there is no object of kind TraceBuffer and apiVersion {0}")]
    NoTraceBuffer(String),
    /// The result cannot be printed.
    #[error("the result cannot be written: {0}")]
    NotSerializable(String),
}

/// Reads the `TraceBuffer`s in a manifest; other objects are passed over. `namespace` is that of one
/// that names none.
///
/// # Errors
///
/// [`ManifestError`] if there is none, or one with mistakes.
pub fn parse_trace_buffers(
    manifest: &str,
    namespace: &str,
    defaults: &SidecarDefaults,
) -> Result<Vec<Arc<TraceBufferView<Sidecar>>>, ManifestError> {
    let mut found = vec![];
    for document in documents::parse_documents(manifest)? {
        if is_trace_buffer(&document.value) {
            found.push(Arc::new(parse_trace_buffer(document.value, namespace, defaults)?));
        }
    }
    if found.is_empty() {
        return Err(ManifestError::NoTraceBuffer(api_version()));
    }
    Ok(found)
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

/// Reads the Namespaces among the objects.
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
    /// Returns `manifest` with a sidecar in every pod and template that asks for one.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] for what cannot be read.
    pub fn inject(&self, manifest: &str) -> Result<InjectedManifest, ManifestError> {
        let (mut text, mut remarks) = (String::new(), vec![]);
        let documents = documents::parse_documents(manifest)?;
        let namespaces = namespaces(&documents);
        for mut document in documents {
            let before = document.value.clone();
            for template in pod_templates(&before) {
                let namespace = template.namespace.as_ref().unwrap_or(&self.namespace);
                let known = namespaces.iter().find(|known| known.name == *namespace).cloned();
                let namespace = known.unwrap_or_else(|| NamespaceFacts::unknown(namespace));
                self.inject_template(&mut document.value, &template, &namespace, &mut remarks)?;
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
        Ok(InjectedManifest { manifest: text, messages: remarks })
    }

    fn inject_template(
        &self,
        document: &mut Value,
        template: &PodTemplate,
        namespace: &NamespaceFacts,
        remarks: &mut Vec<String>,
    ) -> Result<(), ManifestError> {
        if let Some(remark) = misplaced_annotation(document, template) {
            remarks.push(remark);
        }
        let Some(pod) = document.pointer_mut(&template.pointer) else { return Ok(()) };
        let facts = pod_facts(pod).map_err(|error| template.invalid_pod_error(&error))?;
        let decision = decide(&facts, namespace, &ClusterFacts::default(), &self.trace_buffers);
        let admission = apply_decision(pod, &decision);
        let object = &template.object_name;
        match (&decision, &admission.outcome) {
            (_, InjectionOutcome::Injected(key)) => {
                remarks.push(format!("{object}: injected the sidecar of TraceBuffer {key}"));
            }
            // The webhook is to decide again, so nothing is written.
            (Decision::Skip(skip), InjectionOutcome::Skipped(reason)) => {
                if reason.should_warn() {
                    remarks.push(format!(
                        "{object}: no sidecar ({}): {}",
                        reason.as_str(),
                        skip.message
                    ));
                }
                return Ok(());
            }
            _ => {}
        }
        remarks.extend(
            pull_secrets_warning(pod, &decision).map(|remark| format!("{object}: {remark}")),
        );
        let warnings = admission.warnings.iter();
        remarks.extend(warnings.map(|text| format!("{object}: {}", without_prefix(text))));
        json_patch::patch(pod, &admission.patch)
            .map_err(|error| ManifestError::NotSerializable(error.to_string()))
    }
}

impl PodTemplate {
    fn invalid_pod_error(&self, error: &InvalidPod) -> ManifestError {
        let place = self.pointer.strip_prefix(&self.object_pointer).unwrap_or_default();
        let field = format!("{}.{}", place.replace('/', "."), error.field);
        let field = field.trim_start_matches('.').to_owned();
        ManifestError::InvalidPod {
            object: self.object_name.clone(),
            field,
            message: error.message.to_owned(),
        }
    }
}

/// Says that the annotation is on the object, where nobody reads it, and not on its template.
fn misplaced_annotation(document: &Value, template: &PodTemplate) -> Option<String> {
    let has = |pointer: &str| {
        let annotations = document.pointer(&format!("{pointer}/metadata/annotations"));
        annotations.is_some_and(|all| all.get(names::INJECT).is_some())
    };
    let is_misplaced = template.pointer != template.object_pointer
        && has(&template.object_pointer)
        && !has(&template.pointer);
    is_misplaced.then(|| {
        let place = template.pointer.strip_prefix(&template.object_pointer).unwrap_or_default();
        let place = place.trim_start_matches('/').replace('/', ".");
        format!(
            "{}: no sidecar: annotation {} is on the object; put it into {place}.metadata.annotations",
            template.object_name,
            names::INJECT,
        )
    })
}

/// Says that a pod which gets its first pull secrets no longer gets its service account's.
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

fn without_prefix(warning: &str) -> &str {
    warning.strip_prefix("tracebuffer: ").unwrap_or(warning)
}

#[cfg(test)]
mod tests;
