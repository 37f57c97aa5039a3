//! Injecting into manifests, without a cluster: pods, and the templates of what makes pods.

mod documents;
mod templates;

use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use self::documents::Document;
use self::templates::{Template, templates};
use super::names;
use super::namespace::namespace_facts;
use super::pod::{NotAPod, Outcome, admission, facts};
use super::resource::TraceBuffer;
use super::sidecar::{Sidecar, SidecarDefaults, candidate};
use crate::domain::injection::candidate::{Candidate, ObjectKey};
use crate::domain::injection::decide::{Decision, decide};
use crate::domain::injection::facts::{ClusterFacts, NamespaceFacts};

/// What stands in for the cluster.
#[derive(Clone, Debug)]
pub struct Offline {
    /// The namespace of objects that name none.
    pub namespace: String,
    /// The `TraceBuffer`s there are.
    pub trace_buffers: Vec<Arc<Candidate<Sidecar>>>,
}

/// A manifest with sidecars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Its text. Documents without a new sidecar are as they were; the others have lost their
    /// comments.
    pub manifest: String,
    /// What was done and what was not, a line for each, with the object's name.
    pub remarks: Vec<String>,
}

/// Why a manifest cannot be worked on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// It is no YAML.
    #[error("document {document}: {why}")]
    Syntax {
        /// Which of its documents, from 1.
        document: usize,
        /// What the parser says.
        why: String,
    },
    /// An object has no pod where it should.
    #[error("{object}: {field} {why}")]
    NotAPod {
        /// The object, such as `Deployment web`.
        object: String,
        /// The field, seen from the object.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// A `TraceBuffer` is not as it should be.
    #[error("TraceBuffer {key}: {why}")]
    TraceBuffer {
        /// Its name.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no `TraceBuffer` where one should be.
    #[error("there is no object of kind TraceBuffer and apiVersion {0}")]
    NoTraceBuffer(String),
    /// The result cannot be printed.
    #[error("the result cannot be written: {0}")]
    Unwritable(String),
}

/// Reads the `TraceBuffer`s in a manifest; other objects are passed over. `namespace` is that of one
/// that names none.
///
/// # Errors
///
/// [`ManifestError`] if there is none, or one with mistakes.
pub fn trace_buffers(
    manifest: &str,
    namespace: &str,
    defaults: &SidecarDefaults,
) -> Result<Vec<Arc<Candidate<Sidecar>>>, ManifestError> {
    let mut found = vec![];
    for document in documents::read(manifest)? {
        if is_trace_buffer(&document.value) {
            found.push(Arc::new(accepted(document.value, namespace, defaults)?));
        }
    }
    if found.is_empty() {
        return Err(ManifestError::NoTraceBuffer(api_version()));
    }
    Ok(found)
}

fn accepted(
    object: Value,
    namespace: &str,
    defaults: &SidecarDefaults,
) -> Result<Candidate<Sidecar>, ManifestError> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let key = ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() };
    let wrong = |key: &ObjectKey, why: &str| {
        let (key, why) = (key.to_string(), why.to_owned());
        ManifestError::TraceBuffer { key, why }
    };
    let mut object: TraceBuffer =
        serde_json::from_value(object).map_err(|error| wrong(&key, &error.to_string()))?;
    object.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    let candidate = candidate(&object, defaults);
    match &candidate.sidecar {
        Ok(_) => Ok(candidate),
        Err(mistakes) => Err(wrong(&candidate.key, mistakes)),
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

impl Offline {
    /// Returns `manifest` with a sidecar in every pod and template that asks for one.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] for what cannot be read.
    pub fn inject(&self, manifest: &str) -> Result<Injected, ManifestError> {
        let (mut text, mut remarks) = (String::new(), vec![]);
        let documents = documents::read(manifest)?;
        let namespaces = namespaces(&documents);
        for mut document in documents {
            let before = document.value.clone();
            for template in templates(&before) {
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
                text.push_str(&documents::written_like(document.text, &document.value)?);
            }
        }
        Ok(Injected { manifest: text, remarks })
    }

    fn inject_template(
        &self,
        document: &mut Value,
        template: &Template,
        namespace: &NamespaceFacts,
        remarks: &mut Vec<String>,
    ) -> Result<(), ManifestError> {
        if let Some(remark) = misplaced(document, template) {
            remarks.push(remark);
        }
        let Some(pod) = document.pointer_mut(&template.pointer) else { return Ok(()) };
        let facts = facts(pod).map_err(|error| template.is_no_pod(&error))?;
        let decision = decide(&facts, namespace, &ClusterFacts::default(), &self.trace_buffers);
        let admission = admission(pod, &decision);
        let object = &template.object;
        match (&decision, &admission.outcome) {
            (_, Outcome::Injected(key)) => {
                remarks.push(format!("{object}: injected the sidecar of TraceBuffer {key}"));
            }
            // The webhook is to decide again, so nothing is written.
            (Decision::Skip(skip), Outcome::Skipped(reason)) => {
                if reason.is_surprising() {
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
        remarks.extend(pull_secrets(pod, &decision).map(|remark| format!("{object}: {remark}")));
        let warnings = admission.warnings.iter();
        remarks.extend(warnings.map(|text| format!("{object}: {}", without_prefix(text))));
        json_patch::patch(pod, &admission.patch)
            .map_err(|error| ManifestError::Unwritable(error.to_string()))
    }
}

impl Template {
    fn is_no_pod(&self, error: &NotAPod) -> ManifestError {
        let place = self.pointer.strip_prefix(&self.object_pointer).unwrap_or_default();
        let field = format!("{}.{}", place.replace('/', "."), error.field);
        let field = field.trim_start_matches('.').to_owned();
        ManifestError::NotAPod { object: self.object.clone(), field, why: error.why.to_owned() }
    }
}

/// Says that the annotation is on the object, where nobody reads it, and not on its template.
fn misplaced(document: &Value, template: &Template) -> Option<String> {
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
            template.object,
            names::INJECT,
        )
    })
}

/// Says that a pod which gets its first pull secrets no longer gets its service account's.
fn pull_secrets(pod: &Value, decision: &Decision<Sidecar>) -> Option<String> {
    let Decision::Inject(candidate) = decision else { return None };
    let brings = candidate.sidecar.as_ref().is_ok_and(|own| !own.image_pull_secrets.is_empty());
    let there = pod.pointer("/spec/imagePullSecrets").and_then(Value::as_array);
    (brings && there.is_none_or(Vec::is_empty)).then(|| {
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
