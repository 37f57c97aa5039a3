//! Whether a `TraceBuffer` may be used by the pods of another namespace.
//!
//! Both sides must agree. The author of the `TraceBuffer` allows namespaces by name or by labels; the
//! owner of the Namespace object names the `TraceBuffer` there before it may use what belongs to the
//! namespace: its Secrets, its `ConfigMap`s, and the right to restart its workloads. Whoever may only
//! create pods in the namespace cannot grant that.

use std::collections::BTreeMap;

use super::facts::NamespaceFacts;
use crate::domain::operator::object_key::ObjectKey;

/// The namespaces whose pods may use a `TraceBuffer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedNamespaces {
    /// Its own.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Its own and those whose labels match.
    Selector(LabelSelector),
}

/// Selects objects by their labels, as Kubernetes does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// What labels must meet, all of it.
    pub requirements: Vec<LabelRequirement>,
}

/// What one label must meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The key of the label.
    pub key: String,
    /// What its value must meet.
    pub operator: LabelOperator,
}

/// What the value of a label must meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelOperator {
    /// Is one of these.
    In(Vec<String>),
    /// Is none of these; also met where there is no such label.
    NotIn(Vec<String>),
    /// Is there, whatever its value.
    Exists,
    /// Is not there.
    DoesNotExist,
}

/// What a sidecar uses of the namespace it runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialUse {
    /// Nothing.
    #[default]
    None,
    /// Secrets or `ConfigMap`s of the namespace.
    References,
    /// A token of the pod's service account: the pod's identity.
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

/// Returns whether `trace_buffer` may use what belongs to `namespace`: it is its own, or the
/// Namespace object names it.
#[must_use]
pub fn has_consent(trace_buffer: &ObjectKey, namespace: &NamespaceFacts) -> bool {
    trace_buffer.namespace == namespace.name || namespace.names_trace_buffer(trace_buffer)
}

/// Returns whether a sidecar of `trace_buffer` may make such use of `namespace`.
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
    fn its_own_namespace_is_always_allowed() {
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
    fn no_selector_matches_labels_that_nobody_knows() {
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
    fn only_the_namespace_object_lends_its_secrets_and_nothing_lends_its_identity() {
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
