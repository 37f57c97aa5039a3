//! Selects the `TraceBuffer` of a pod.
//!
//! The first of four levels that names or has a `TraceBuffer` decides; an error of one level never falls
//! through to the next:
//!
//! 1. the pod's annotation `tracebuffer.dev/inject` names it;
//! 2. the annotation `tracebuffer.dev/tracebuffer` of its Namespace names it;
//! 3. its namespace has exactly one, or one named `default`;
//! 4. the operator has a default for the whole cluster.

use super::facts::{ClusterFacts, NamespaceFacts};
use super::request::InjectRequest;
use super::skip::{Skip, SkipReason};
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::text::{join_limited, quoted};

/// The name of the `TraceBuffer` that is selected if a namespace has several and none is named.
pub const DEFAULT_NAME: &str = "default";
/// Maximum names that a message lists.
const MAX_NAMES: usize = 5;

/// The selected `TraceBuffer` of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Its name. It may not exist unless it is the default of the namespace.
    pub key: ObjectKey,
    /// What selected it.
    pub by: SelectedBy,
}

/// What selected a `TraceBuffer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectedBy {
    /// The pod's annotation.
    PodAnnotation,
    /// The annotation of its Namespace.
    NamespaceAnnotation,
    /// It is the only one of the namespace, or the one named `default`.
    NamespaceDefault,
    /// The operator's default for the cluster.
    OperatorDefault,
}

/// Selects the `TraceBuffer` for `request`. `names` returns the `TraceBuffer`s of the pod's namespace.
///
/// # Errors
///
/// The skip if there is none.
pub fn select(
    request: &InjectRequest,
    namespace: &NamespaceFacts,
    cluster: &ClusterFacts,
    names: impl FnOnce() -> Vec<String>,
) -> Result<Selection, Skip> {
    let selected = |key: ObjectKey, by| Ok(Selection { key, by });
    let here = |name: &str| ObjectKey { namespace: namespace.name.clone(), name: name.to_owned() };
    match request {
        InjectRequest::OptOut => Err(Skip::opted_out()),
        InjectRequest::Named(name) => selected(here(name), SelectedBy::PodAnnotation),
        InjectRequest::Qualified(key) => selected(key.clone(), SelectedBy::PodAnnotation),
        InjectRequest::Default => {
            if let Some(key) = namespace.named_trace_buffer()? {
                return selected(key, SelectedBy::NamespaceAnnotation);
            }
            if let Some(name) = namespace_default(&namespace.name, &names())? {
                return selected(here(&name), SelectedBy::NamespaceDefault);
            }
            let default = cluster.default_trace_buffer.clone();
            default.map_or_else(
                || Err(no_trace_buffer(&namespace.name)),
                |key| selected(key, SelectedBy::OperatorDefault),
            )
        }
    }
}

fn namespace_default(namespace: &str, names: &[String]) -> Result<Option<String>, Skip> {
    let default = names.iter().find(|name| *name == DEFAULT_NAME);
    match (default, names) {
        (Some(name), _) => Ok(Some(name.clone())),
        (None, []) => Ok(None),
        (None, [only]) => Ok(Some(only.clone())),
        (None, several) => {
            let names = join_limited(several.iter().map(String::as_str), MAX_NAMES);
            let message = format!(
                "namespace {namespace} has several TraceBuffers and none is named {DEFAULT_NAME}; \
                 name one in annotation tracebuffer.dev/inject: {names}"
            );
            Err(Skip::new(SkipReason::SeveralTraceBuffers, message))
        }
    }
}

fn no_trace_buffer(namespace: &str) -> Skip {
    let message = format!(
        "namespace {namespace} has no TraceBuffer; create one, or name one of another namespace as \
         \"<namespace>/<name>\" in annotation tracebuffer.dev/inject"
    );
    Skip::new(SkipReason::NoTraceBuffer, message)
}

impl Selection {
    /// Returns the skip for a selected `TraceBuffer` that does not exist.
    #[must_use]
    pub fn not_found(&self, namespace: &str) -> Skip {
        let Self { key, by } = self;
        let remedy = match by {
            SelectedBy::PodAnnotation | SelectedBy::NamespaceDefault => {
                "create it, or name another in annotation tracebuffer.dev/inject".to_owned()
            }
            SelectedBy::NamespaceAnnotation => format!(
                "create it, or correct annotation tracebuffer.dev/tracebuffer of Namespace \
                 {namespace}"
            ),
            SelectedBy::OperatorDefault => {
                "it is the operator's default: create it, or a TraceBuffer in the pod's namespace"
                    .to_owned()
            }
        };
        let message = format!("there is no TraceBuffer {key}; {remedy}");
        Skip::new(SkipReason::TraceBufferNotFound, message)
    }
}

impl NamespaceFacts {
    /// Returns the `TraceBuffer` that the annotation of the Namespace names, if it has one.
    ///
    /// # Errors
    ///
    /// The skip for an invalid value.
    pub fn named_trace_buffer(&self) -> Result<Option<ObjectKey>, Skip> {
        let Some(value) = &self.trace_buffer else { return Ok(None) };
        let key = match InjectRequest::parse(value) {
            Ok(InjectRequest::Named(name)) => {
                Some(ObjectKey { namespace: self.name.clone(), name })
            }
            Ok(InjectRequest::Qualified(key)) => Some(key),
            _ => None,
        };
        key.map(Some).ok_or_else(|| {
            let message = format!(
                "annotation tracebuffer.dev/tracebuffer of Namespace {} is {}; allowed are \
                 \"<name>\" and \"<namespace>/<name>\" of a TraceBuffer",
                self.name,
                quoted(value)
            );
            Skip::new(SkipReason::InvalidAnnotation, message)
        })
    }

    /// Returns whether the annotation of the Namespace names `trace_buffer`.
    #[must_use]
    pub fn names_trace_buffer(&self, trace_buffer: &ObjectKey) -> bool {
        self.named_trace_buffer().is_ok_and(|named| named.as_ref() == Some(trace_buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "shop";

    fn selected(
        pod: &str,
        annotation: Option<&str>,
        names: &[&str],
        default: Option<(&str, &str)>,
    ) -> Result<String, SkipReason> {
        let request = InjectRequest::parse(pod).unwrap();
        let trace_buffer = annotation.map(str::to_owned);
        let namespace = NamespaceFacts { trace_buffer, ..NamespaceFacts::unknown(SHOP) };
        let default_trace_buffer = default
            .map(|(namespace, name)| ObjectKey { namespace: namespace.into(), name: name.into() });
        let cluster = ClusterFacts { default_trace_buffer, ..ClusterFacts::default() };
        let names = || names.iter().map(|name| (*name).to_owned()).collect();
        let selected = select(&request, &namespace, &cluster, names);
        selected.map(|selected| selected.key.to_string()).map_err(|skip| skip.reason)
    }

    #[test]
    fn the_first_level_that_names_or_has_one_decides() {
        let default = Some(("platform", "all"));
        for (pod, annotation, names, expected) in [
            ("mine", Some("platform/team"), &["a"][..], "shop/mine"),
            ("other/one", Some("platform/team"), &["a"], "other/one"),
            ("true", Some("platform/team"), &["default"], "platform/team"),
            ("enabled", Some("team"), &["default"], "shop/team"),
            ("true", None, &["a"], "shop/a"),
            ("true", None, &["a", "default"], "shop/default"),
            ("true", None, &[], "platform/all"),
        ] {
            let found = selected(pod, annotation, names, default);
            assert_eq!(found.as_deref(), Ok(expected), "{pod} {annotation:?} {names:?}");
        }
    }

    #[test]
    fn the_errors_of_a_level_never_fall_through_to_the_next() {
        let default = Some(("platform", "all"));
        for value in ["", "true", "false", "enabled", "disabled", "A", "a/b/c", "/a"] {
            let found = selected("true", Some(value), &["default"], default);
            assert_eq!(found, Err(SkipReason::InvalidAnnotation), "{value:?}");
        }
        let several = selected("true", None, &["a", "b"], default);
        assert_eq!(several, Err(SkipReason::SeveralTraceBuffers));
    }

    #[test]
    fn without_any_level_nothing_is_selected() {
        assert_eq!(selected("true", None, &[], None), Err(SkipReason::NoTraceBuffer));
        assert_eq!(selected("false", None, &["a"], None), Err(SkipReason::OptedOut));
    }

    #[test]
    fn the_skip_for_a_missing_trace_buffer_names_the_level_that_selected_it() {
        let key = ObjectKey { namespace: "platform".into(), name: "all".into() };
        for (by, part) in [
            (SelectedBy::PodAnnotation, "annotation tracebuffer.dev/inject"),
            (SelectedBy::NamespaceAnnotation, "tracebuffer.dev/tracebuffer of Namespace shop"),
            (SelectedBy::OperatorDefault, "the operator's default"),
        ] {
            let skip = Selection { key: key.clone(), by }.not_found(SHOP);
            assert!(skip.message.contains(part), "{}", skip.message);
            assert!(skip.message.contains("platform/all"), "{}", skip.message);
        }
    }
}
