//! What is wrong or doubtful in files of `TraceBuffer`s, before any cluster sees them.

mod node;
mod shape;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::node::Node;
use super::resource::mistakes::Mistake;
use super::resource::{TraceBuffer, manifest};
use super::sidecar::{self, SidecarDefaults};

const KIND: &str = "TraceBuffer";
const GROUP: &str = "tracebuffer.dev/";
const API_VERSION: &str = "tracebuffer.dev/v1alpha1";

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    /// The `TraceBuffer`s in it.
    pub objects: Vec<Analyzed>,
    /// The other objects, as `Deployment web`, which were not looked at.
    pub ignored: Vec<String>,
}

/// One `TraceBuffer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analyzed {
    /// Its namespace and name, as far as they are given: `shop/default`, or `default`.
    pub name: String,
    /// Where it begins.
    pub line: u64,
    /// Why it would not be accepted.
    pub mistakes: Vec<Remark>,
    /// What would be accepted, and is perhaps not meant.
    pub warnings: Vec<Remark>,
}

/// Something said about a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Where the field is, or what should hold it.
    pub line: u64,
    /// The field, such as `spec.buffer.maxBytes`.
    pub field: String,
    /// What is said, to follow the field.
    pub why: String,
}

/// A file that is no YAML at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot be read as YAML or JSON: {0}")]
pub struct Unreadable(#[source] serde_saphyr::Error);

/// Looks at every document of a text in YAML or JSON.
///
/// # Errors
///
/// [`Unreadable`] if the text is neither.
pub fn analyze(text: &str) -> Result<Analysis, Unreadable> {
    let mut analysis = Analysis::default();
    for document in Node::documents(text).map_err(Unreadable)? {
        look_at(&document, &mut analysis);
    }
    Ok(analysis)
}

fn look_at(node: &Node, analysis: &mut Analysis) {
    let text = |name| node.field(name).and_then(Node::text).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if kind == "List" {
        for item in node.field("items").map(Node::elements).unwrap_or_default() {
            look_at(item, analysis);
        }
    } else if kind == KIND && (api_version.is_empty() || api_version.starts_with(GROUP)) {
        analysis.objects.push(trace_buffer(node, api_version));
    } else {
        let kind = if kind.is_empty() { "something without a kind" } else { kind };
        analysis.ignored.push(format!("{kind} {}", name(node)).trim_end().to_owned());
    }
}

fn trace_buffer(node: &Node, api_version: &str) -> Analyzed {
    let mut mistakes = Vec::new();
    if api_version != API_VERSION {
        let why = format!("must be {API_VERSION}; it is {api_version:?}");
        mistakes.push(Mistake { field: "apiVersion".into(), why });
    }
    if name(node).is_empty() {
        mistakes.push(Mistake { field: "metadata.name".into(), why: "must be set".into() });
    }
    compare_with_schema(node, &mut mistakes);
    let mut warnings = Vec::new();
    match serde_json::from_value::<TraceBuffer>(node.value()) {
        Ok(object) => match sidecar::build(&object, &SidecarDefaults::unknown()) {
            Ok(_) => warnings = sidecar::warnings(&object),
            Err(found) => mistakes.extend(found.0),
        },
        // What the schema allows can be read; then this says what else is wrong.
        Err(error) if mistakes.is_empty() => {
            mistakes
                .push(Mistake { field: "spec".into(), why: format!("cannot be read: {error}") });
        }
        Err(_) => {}
    }
    Analyzed {
        name: name(node),
        line: node.line,
        mistakes: remarks(node, mistakes),
        warnings: remarks(node, warnings),
    }
}

fn compare_with_schema(node: &Node, mistakes: &mut Vec<Mistake>) {
    let manifest = manifest();
    let schema = manifest.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    match node.field("spec") {
        Some(spec) => shape::compare(spec, schema.unwrap_or(&Value::Null), "spec", mistakes),
        None => mistakes.push(Mistake { field: "spec".into(), why: "must be set".into() }),
    }
    if let node::Content::Fields(fields) = &node.content {
        let known = ["apiVersion", "kind", "metadata", "spec", "status"];
        for (name, _) in fields.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let why = "is no field here; does it belong under spec?".into();
            mistakes.push(Mistake { field: name.clone(), why });
        }
    }
}

fn remarks(node: &Node, found: Vec<Mistake>) -> Vec<Remark> {
    let remark =
        |Mistake { field, why }: Mistake| Remark { line: node.line_of(&field), field, why };
    let mut remarks: Vec<_> = found.into_iter().map(remark).collect();
    remarks.sort_by_key(|remark| remark.line);
    remarks
}

fn name(node: &Node) -> String {
    let metadata = node.field("metadata");
    let text = |name| metadata?.field(name)?.text();
    match (text("namespace"), text("name")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (_, name) => name.unwrap_or_default().to_owned(),
    }
}
