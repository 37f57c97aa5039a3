//! Decides whether pods may use a `TraceBuffer` of another namespace.
//!
//! Both sides must consent. The author of the `TraceBuffer` allows namespaces, all or by labels. The
//! owner of the Namespace names the `TraceBuffer` in an annotation before it may use the namespace's
//! Secrets and `ConfigMap`s or restart its workloads. The right to create pods in the namespace does not
//! include this consent.

use std::collections::BTreeMap;

use super::facts::NamespaceFacts;
use crate::domain::operator::object_key::ObjectKey;

/// The namespaces whose pods may use a `TraceBuffer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedNamespaces {
    /// The namespace of the `TraceBuffer`.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// The namespace of the `TraceBuffer`, and namespaces whose labels match.
    Selector(LabelSelector),
}

/// Selects objects by their labels, as Kubernetes does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// The requirements, all of which must be met.
    pub requirements: Vec<LabelRequirement>,
}

/// A requirement for one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The key of the label.
    pub key: String,
    /// The condition for its value.
    pub operator: LabelOperator,
}

/// A condition for the value of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelOperator {
    /// The value is one of these.
    In(Vec<String>),
    /// The value is none of these, or the label does not exist.
    NotIn(Vec<String>),
    /// The label exists.
    Exists,
    /// The label does not exist.
    DoesNotExist,
}

/// The credentials of its pod's namespace that a sidecar uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialUse {
    /// Nothing.
    #[default]
    None,
    /// Secrets or `ConfigMap`s of the namespace.
    References,
    /// A token of the pod's service account, which is the pod's identity.
    ServiceAccountToken,
}

impl AllowedNamespaces {
    /// Returns whether pods of `namespace` may use a `TraceBuffer` of namespace `own`.
    #[must_use]
    pub fn allows(&self, own: &str, namespace: &NamespaceFacts) -> bool {
        own == namespace.name
            || match self {
                Self::Same => false,
                Self::All => true,
                Self::Selector(selector) => {
                    namespace.labels.as_ref().is_some_and(|labels| selector.matches(labels))
                }
            }
    }
}

impl LabelSelector {
    /// Returns whether `labels` meet all requirements.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
}

impl LabelRequirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            LabelOperator::In(values) => value.is_some_and(|value| values.contains(value)),
            LabelOperator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}

/// Returns whether `trace_buffer` has the consent of the owner of `namespace`: it is in this namespace,
/// or the Namespace names it.
#[must_use]
pub fn has_consent(trace_buffer: &ObjectKey, namespace: &NamespaceFacts) -> bool {
    trace_buffer.namespace == namespace.name || namespace.names_trace_buffer(trace_buffer)
}

/// Returns whether a sidecar of `trace_buffer` may use such credentials of `namespace`.
#[must_use]
pub fn may_use_credentials(
    trace_buffer: &ObjectKey,
    credentials: CredentialUse,
    namespace: &NamespaceFacts,
) -> bool {
    match credentials {
        CredentialUse::None => true,
        CredentialUse::References => has_consent(trace_buffer, namespace),
        CredentialUse::ServiceAccountToken => trace_buffer.namespace == namespace.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str, labels: &[(&str, &str)]) -> NamespaceFacts {
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        NamespaceFacts { labels: Some(labels.collect()), ..NamespaceFacts::unknown(name) }
    }

    fn key(namespace: &str) -> ObjectKey {
        ObjectKey { namespace: namespace.into(), name: "shared".into() }
    }

    fn requires(key: &str, operator: LabelOperator) -> AllowedNamespaces {
        let requirements = vec![LabelRequirement { key: key.into(), operator }];
        AllowedNamespaces::Selector(LabelSelector { requirements })
    }

    #[test]
    fn the_same_namespace_is_always_allowed() {
        let own = namespace("platform", &[]);
        for allowed in [
            AllowedNamespaces::Same,
            AllowedNamespaces::All,
            requires("team", LabelOperator::Exists),
        ] {
            assert!(allowed.allows("platform", &own), "{allowed:?}");
        }
    }

    #[test]
    fn another_is_allowed_by_all_or_by_its_labels_alone() {
        let shop = namespace("shop", &[("team", "a")]);
        let (a, b) = (vec!["a".to_owned()], vec!["b".to_owned()]);
        for (allowed, is_allowed) in [
            (AllowedNamespaces::Same, false),
            (AllowedNamespaces::All, true),
            (requires("team", LabelOperator::In(a.clone())), true),
            (requires("team", LabelOperator::In(b.clone())), false),
            (requires("other", LabelOperator::In(a.clone())), false),
            (requires("team", LabelOperator::NotIn(a.clone())), false),
            (requires("team", LabelOperator::NotIn(b)), true),
            (requires("other", LabelOperator::NotIn(a)), true),
            (requires("team", LabelOperator::Exists), true),
            (requires("other", LabelOperator::Exists), false),
            (requires("team", LabelOperator::DoesNotExist), false),
            (requires("other", LabelOperator::DoesNotExist), true),
        ] {
            assert_eq!(allowed.allows("platform", &shop), is_allowed, "{allowed:?}");
        }
    }

    #[test]
    fn no_selector_matches_unknown_labels() {
        let unknown = NamespaceFacts::unknown("shop");

        assert!(!requires("team", LabelOperator::DoesNotExist).allows("platform", &unknown));
        assert!(AllowedNamespaces::All.allows("platform", &unknown));
    }

    #[test]
    fn all_requirements_must_be_met() {
        let exists =
            |key: &str| LabelRequirement { key: key.into(), operator: LabelOperator::Exists };
        let selector = LabelSelector { requirements: vec![exists("a"), exists("b")] };
        let labels = |keys: &[&str]| {
            keys.iter().map(|key| ((*key).to_owned(), String::new())).collect::<BTreeMap<_, _>>()
        };

        assert!(selector.matches(&labels(&["a", "b"])));
        assert!(!selector.matches(&labels(&["a"])));
    }

    #[test]
    fn only_the_namespace_can_consent_to_references_and_nothing_to_tokens() {
        let mut shop = namespace("shop", &[]);
        let foreign = key("platform");
        assert!(may_use_credentials(&foreign, CredentialUse::None, &shop));
        assert!(!may_use_credentials(&foreign, CredentialUse::References, &shop));

        shop.trace_buffer = Some("platform/shared".into());
        assert!(may_use_credentials(&foreign, CredentialUse::References, &shop));
        assert!(!may_use_credentials(&foreign, CredentialUse::ServiceAccountToken, &shop));
        assert!(!may_use_credentials(&key("other"), CredentialUse::References, &shop));

        let own = key("shop");
        assert!(may_use_credentials(&own, CredentialUse::References, &shop));
        assert!(may_use_credentials(&own, CredentialUse::ServiceAccountToken, &shop));
    }
}
