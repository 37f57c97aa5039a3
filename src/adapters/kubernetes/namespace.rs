//! What a Namespace object says about sidecars.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

use super::names::{INJECT, TRACE_BUFFER};
use crate::domain::injection::facts::NamespaceFacts;
use crate::domain::injection::request::{ASKING, DECLINING};

/// Returns what the decision needs to know of a Namespace.
#[must_use]
pub fn namespace_facts(metadata: &ObjectMeta) -> NamespaceFacts {
    let labels = metadata.labels.clone().unwrap_or_default();
    let annotations = metadata.annotations.as_ref();
    NamespaceFacts {
        name: metadata.name.clone().unwrap_or_default(),
        asks: asks(&labels),
        trace_buffer: annotations.and_then(|all| all.get(TRACE_BUFFER)).cloned(),
        labels,
    }
}

/// Returns whether a Namespace with these labels asks for a sidecar in every pod.
fn asks(labels: &BTreeMap<String, String>) -> bool {
    labels.get(INJECT).is_some_and(|value| ASKING.contains(&value.as_str()))
}

/// Returns the value of the label by which a Namespace asks for sidecars, if it has no meaning there.
#[must_use]
pub fn meaningless_label(metadata: &ObjectMeta) -> Option<&str> {
    let value = metadata.labels.as_ref()?.get(INJECT)?.as_str();
    let has_meaning = ASKING.contains(&value) || DECLINING.contains(&value);
    (!has_meaning).then_some(value)
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
            labels: map(INJECT, label),
            annotations: map(TRACE_BUFFER, annotation),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn true_and_enabled_ask_alike_and_a_mistake_does_not() {
        for (label, asks, is_meaningless) in [
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
            assert_eq!(namespace_facts(&metadata).asks, asks, "{label:?}");
            assert_eq!(meaningless_label(&metadata).is_some(), is_meaningless, "{label:?}");
        }
    }

    #[test]
    fn the_annotation_is_kept_as_it_is_written() {
        let facts = namespace_facts(&metadata(None, Some("platform/shared")));

        assert_eq!(facts.trace_buffer.as_deref(), Some("platform/shared"));
        assert_eq!(facts.name, "shop");
    }
}
