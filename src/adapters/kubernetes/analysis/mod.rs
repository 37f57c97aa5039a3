//! Finds errors and doubtful settings in files with `TraceBuffer`s, without a cluster.

mod node;
mod schema_validation;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::node::Node;
use super::resource::validation::FieldError;
use super::resource::{TraceBuffer, crd_json};
use super::sidecar::{self, SidecarDefaults};

const KIND: &str = "TraceBuffer";
const GROUP_PREFIX: &str = "tracebuffer.dev/";
const API_VERSION: &str = "tracebuffer.dev/v1alpha1";

/// The result for one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    /// The `TraceBuffer`s of the file.
    pub trace_buffers: Vec<AnalyzedTraceBuffer>,
    /// The other objects, such as `Deployment web`, which were not analyzed.
    pub ignored: Vec<String>,
}

/// The result for one `TraceBuffer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnalyzedTraceBuffer {
    /// Its namespace and name, as far as they are set: `shop/default`, or `default`.
    pub name: String,
    /// The line of its start, from 1.
    pub line: u64,
    /// The errors for which it would not be accepted.
    pub errors: Vec<Diagnostic>,
    /// Settings that would be accepted but are doubtful.
    pub warnings: Vec<Diagnostic>,
}

/// An error or a warning about a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The line of the field, or of the object that lacks it.
    pub line: u64,
    /// The field, such as `spec.buffer.maxBytes`.
    pub field: String,
    /// The message, which continues a sentence that starts with the field.
    pub message: String,
}

/// A file that is neither YAML nor JSON.
#[derive(Debug, thiserror::Error)]
#[error("cannot be read as YAML or JSON: {0}")]
pub struct ParseError(#[source] serde_saphyr::Error);

/// Analyzes every document of a text in YAML or JSON.
///
/// # Errors
///
/// [`ParseError`] if the text is neither.
pub fn analyze(text: &str) -> Result<Analysis, ParseError> {
    let mut analysis = Analysis::default();
    for document in Node::parse_documents(text).map_err(ParseError)? {
        analyze_document(&document, &mut analysis);
    }
    Ok(analysis)
}

fn analyze_document(node: &Node, analysis: &mut Analysis) {
    let text = |name| node.field(name).and_then(Node::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if kind == "List" {
        for item in node.field("items").map(Node::as_sequence).unwrap_or_default() {
            analyze_document(item, analysis);
        }
    } else if kind == KIND && (api_version.is_empty() || api_version.starts_with(GROUP_PREFIX)) {
        analysis.trace_buffers.push(analyze_trace_buffer(node, api_version));
    } else {
        let kind = if kind.is_empty() { "object without a kind" } else { kind };
        analysis.ignored.push(format!("{kind} {}", object_name(node)).trim_end().to_owned());
    }
}

fn analyze_trace_buffer(node: &Node, api_version: &str) -> AnalyzedTraceBuffer {
    let mut errors = Vec::new();
    if api_version != API_VERSION {
        let message = format!("must be {API_VERSION}; it is {api_version:?}");
        errors.push(FieldError { field: "apiVersion".into(), message });
    }
    if object_name(node).is_empty() {
        errors.push(FieldError { field: "metadata.name".into(), message: "must be set".into() });
    }
    validate_against_schema(node, &mut errors);
    let mut warnings = Vec::new();
    match serde_json::from_value::<TraceBuffer>(node.to_json()) {
        Ok(object) => match sidecar::build(&object, &SidecarDefaults::unknown()) {
            Ok(_) => warnings = sidecar::warnings(&object),
            Err(found) => errors.extend(found.0),
        },
        // A spec that matches the schema can be deserialized, so this is an error of another field.
        Err(error) if errors.is_empty() => {
            errors.push(FieldError {
                field: "spec".into(),
                message: format!("cannot be read: {error}"),
            });
        }
        Err(_) => {}
    }
    AnalyzedTraceBuffer {
        name: object_name(node),
        line: node.line,
        errors: diagnostics(node, errors),
        warnings: diagnostics(node, warnings),
    }
}

fn validate_against_schema(node: &Node, errors: &mut Vec<FieldError>) {
    let manifest = crd_json();
    let schema = manifest.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    match node.field("spec") {
        Some(spec) => {
            schema_validation::validate(spec, schema.unwrap_or(&Value::Null), "spec", errors);
        }
        None => errors.push(FieldError { field: "spec".into(), message: "must be set".into() }),
    }
    if let node::Content::Mapping(fields) = &node.content {
        let known = ["apiVersion", "kind", "metadata", "spec", "status"];
        for (name, _) in fields.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let message = "is not a field of TraceBuffer; does it belong under spec?".into();
            errors.push(FieldError { field: name.clone(), message });
        }
    }
}

fn diagnostics(node: &Node, errors: Vec<FieldError>) -> Vec<Diagnostic> {
    let diagnostic = |FieldError { field, message }: FieldError| Diagnostic {
        line: node.line_of(&field),
        field,
        message,
    };
    let mut diagnostics: Vec<_> = errors.into_iter().map(diagnostic).collect();
    diagnostics.sort_by_key(|diagnostic| diagnostic.line);
    diagnostics
}

fn object_name(node: &Node) -> String {
    let metadata = node.field("metadata");
    let text = |name| metadata?.field(name)?.as_str();
    match (text("namespace"), text("name")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (_, name) => name.unwrap_or_default().to_owned(),
    }
}
