//! What a Namespace object says about sidecars.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

use super::names::{INJECT_KEY, TRACE_BUFFER_ANNOTATION};
use crate::domain::operator::injection::facts::{NamespaceFacts, SYSTEM_NAMESPACE};
use crate::domain::operator::injection::request::{OPT_IN_VALUES, OPT_OUT_VALUES};
use crate::domain::text::quoted;

/// Returns what the decision needs to know of a Namespace.
#[must_use]
pub fn namespace_facts(metadata: &ObjectMeta) -> NamespaceFacts {
    let labels = metadata.labels.clone().unwrap_or_default();
    let annotations = metadata.annotations.as_ref();
    let name = metadata.name.clone().unwrap_or_default();
    NamespaceFacts {
        opted_in: name != SYSTEM_NAMESPACE && opts_in(&labels),
        name,
        trace_buffer: annotations.and_then(|all| all.get(TRACE_BUFFER_ANNOTATION)).cloned(),
        labels: Some(labels),
    }
}

/// Returns whether a Namespace with these labels asks for a sidecar in every pod.
fn opts_in(labels: &BTreeMap<String, String>) -> bool {
    labels.get(INJECT_KEY).is_some_and(|value| OPT_IN_VALUES.contains(&value.as_str()))
}

/// Returns what is set on a Namespace and means nothing there, which would go unnoticed.
#[must_use]
pub fn misconfiguration(metadata: &ObjectMeta) -> Option<String> {
    let label = |key| metadata.labels.as_ref().and_then(|all| all.get(key));
    let annotation = |key| metadata.annotations.as_ref().and_then(|all| all.get(key));
    let has_meaning = |value: &&String| {
        OPT_IN_VALUES.contains(&value.as_str()) || OPT_OUT_VALUES.contains(&value.as_str())
    };
    if let Some(value) = label(INJECT_KEY).filter(|value| !has_meaning(value)) {
        let value = quoted(value);
        return Some(format!(
            "label {INJECT_KEY} is {value}, which means nothing on a Namespace: set it to true or enabled; \
             a TraceBuffer is named in annotation {TRACE_BUFFER_ANNOTATION}"
        ));
    }
    if annotation(INJECT_KEY).is_some() {
        return Some(format!(
            "annotation {INJECT_KEY} means nothing on a Namespace: set it as a label"
        ));
    }
    if label(TRACE_BUFFER_ANNOTATION).is_some() {
        return Some(format!(
            "label {TRACE_BUFFER_ANNOTATION} means nothing: set it as an annotation"
        ));
    }
    namespace_facts(metadata).named_trace_buffer().err().map(|skip| skip.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(label: Option<&str>, annotation: Option<&str>) -> ObjectMeta {
        let map = |key: &str, value: Option<&str>| {
            value.map(|value| BTreeMap::from([(key.to_owned(), value.to_owned())]))
        };
        ObjectMeta {
            name: Some("shop".into()),
            labels: map(INJECT_KEY, label),
            annotations: map(TRACE_BUFFER_ANNOTATION, annotation),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn true_and_enabled_opt_in_and_an_invalid_value_does_not() {
        for (label, asks, is_mistaken) in [
            (None, false, false),
            (Some("true"), true, false),
            (Some("enabled"), true, false),
            (Some("false"), false, false),
            (Some("disabled"), false, false),
            (Some("True"), false, true),
            (Some("traces"), false, true),
            (Some(""), false, true),
        ] {
            let metadata = metadata(label, None);
            assert_eq!(namespace_facts(&metadata).opted_in, asks, "{label:?}");
            assert_eq!(misconfiguration(&metadata).is_some(), is_mistaken, "{label:?}");
        }
    }

    #[test]
    fn the_label_has_no_effect_on_the_system_namespace() {
        let metadata = ObjectMeta {
            name: Some(SYSTEM_NAMESPACE.into()),
            ..metadata(Some("true"), Some("platform/shared"))
        };
        let facts = namespace_facts(&metadata);

        assert!(!facts.opted_in);
        assert_eq!(facts.trace_buffer.as_deref(), Some("platform/shared"));
    }

    #[test]
    fn a_misplaced_label_or_annotation_is_an_error() {
        let one =
            |key: &str, value: &str| Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
        let labelled = |key: &str| ObjectMeta { labels: one(key, "a"), ..metadata(None, None) };
        let annotated = |key: &str, value: &str| ObjectMeta {
            annotations: one(key, value),
            ..metadata(None, None)
        };
        for (metadata, part) in [
            (labelled(TRACE_BUFFER_ANNOTATION), Some("set it as an annotation")),
            (annotated(INJECT_KEY, "true"), Some("set it as a label")),
            (annotated(TRACE_BUFFER_ANNOTATION, "a/b/c"), Some("is \"a/b/c\"; allowed are")),
            (annotated(TRACE_BUFFER_ANNOTATION, "a/b"), None),
            (labelled("team"), None),
        ] {
            match (misconfiguration(&metadata), part) {
                (Some(found), Some(part)) => assert!(found.contains(part), "{found}"),
                (found, part) => assert_eq!(found.as_deref(), part),
            }
        }
    }

    #[test]
    fn the_annotation_is_kept_verbatim() {
        let facts = namespace_facts(&metadata(None, Some("platform/shared")));

        assert_eq!(facts.trace_buffer.as_deref(), Some("platform/shared"));
        assert_eq!(facts.name, "shop");
    }
}
