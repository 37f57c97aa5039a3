//! What is wrong or doubtful in files of `TraceBuffer`s, before any cluster sees them.

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

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    /// The `TraceBuffer`s in it.
    pub trace_buffers: Vec<AnalyzedTraceBuffer>,
    /// The other objects, as `Deployment web`, which were not looked at.
    pub ignored: Vec<String>,
}

/// One `TraceBuffer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnalyzedTraceBuffer {
    /// Its namespace and name, as far as they are given: `shop/default`, or `default`.
    pub name: String,
    /// Where it begins.
    pub line: u64,
    /// Why it would not be accepted.
    pub errors: Vec<Diagnostic>,
    /// What would be accepted, and is perhaps not meant.
    pub warnings: Vec<Diagnostic>,
}

/// Something said about a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where the field is, or what should hold it.
    pub line: u64,
    /// The field, such as `spec.buffer.maxBytes`.
    pub field: String,
    /// What is said, to follow the field.
    pub message: String,
}

/// A file that is no YAML at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot be read as YAML or JSON: {0}")]
pub struct ParseError(#[source] serde_saphyr::Error);

/// Looks at every document of a text in YAML or JSON.
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
        let kind = if kind.is_empty() { "something without a kind" } else { kind };
        analysis.ignored.push(format!("{kind} {}", object_name(node)).trim_end().to_owned());
    }
}

fn analyze_trace_buffer(node: &Node, api_version: &str) -> AnalyzedTraceBuffer {
    let mut mistakes = Vec::new();
    if api_version != API_VERSION {
        let why = format!("must be {API_VERSION}; it is {api_version:?}");
        mistakes.push(FieldError { field: "apiVersion".into(), message: why });
    }
    if object_name(node).is_empty() {
        mistakes.push(FieldError { field: "metadata.name".into(), message: "must be set".into() });
    }
    validate_against_schema(node, &mut mistakes);
    let mut warnings = Vec::new();
    match serde_json::from_value::<TraceBuffer>(node.to_json()) {
        Ok(object) => match sidecar::build(&object, &SidecarDefaults::unknown()) {
            Ok(_) => warnings = sidecar::warnings(&object),
            Err(found) => mistakes.extend(found.0),
        },
        // What the schema allows can be read; then this says what else is wrong.
        Err(error) if mistakes.is_empty() => {
            mistakes.push(FieldError {
                field: "spec".into(),
                message: format!("cannot be read: {error}"),
            });
        }
        Err(_) => {}
    }
    AnalyzedTraceBuffer {
        name: object_name(node),
        line: node.line,
        errors: diagnostics(node, mistakes),
        warnings: diagnostics(node, warnings),
    }
}

fn validate_against_schema(node: &Node, mistakes: &mut Vec<FieldError>) {
    let manifest = crd_json();
    let schema = manifest.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    match node.field("spec") {
        Some(spec) => {
            schema_validation::validate(spec, schema.unwrap_or(&Value::Null), "spec", mistakes);
        }
        None => mistakes.push(FieldError { field: "spec".into(), message: "must be set".into() }),
    }
    if let node::Content::Mapping(fields) = &node.content {
        let known = ["apiVersion", "kind", "metadata", "spec", "status"];
        for (name, _) in fields.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let why = "is no field here; does it belong under spec?".into();
            mistakes.push(FieldError { field: name.clone(), message: why });
        }
    }
}

fn diagnostics(node: &Node, found: Vec<FieldError>) -> Vec<Diagnostic> {
    let remark = |FieldError { field, message: why }: FieldError| Diagnostic {
        line: node.line_of(&field),
        field,
        message: why,
    };
    let mut remarks: Vec<_> = found.into_iter().map(remark).collect();
    remarks.sort_by_key(|remark| remark.line);
    remarks
}

fn object_name(node: &Node) -> String {
    let metadata = node.field("metadata");
    let text = |name| metadata?.field(name)?.as_str();
    match (text("namespace"), text("name")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (_, name) => name.unwrap_or_default().to_owned(),
    }
}
