//! The request of a pod for a sidecar: the annotation `tracebuffer.dev/inject`.

use std::fmt;

use super::facts::{ClusterFacts, NamespaceFacts};
use super::skip::{Skip, SkipReason};
use crate::domain::operator::labels::is_dns_subdomain;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::text::quoted;

/// The values that ask for a sidecar without naming a `TraceBuffer`, in the pod's annotation and in
/// the label of its namespace.
pub const OPT_IN_VALUES: [&str; 2] = ["true", "enabled"];
/// The values of the pod's annotation that opt out.
pub const OPT_OUT_VALUES: [&str; 2] = ["false", "disabled"];

/// The request of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InjectRequest {
    /// No sidecar.
    OptOut,
    /// The sidecar of the `TraceBuffer` that its namespace or the operator selects.
    Default,
    /// The sidecar of the `TraceBuffer` with this name in the pod's namespace.
    Named(String),
    /// The sidecar of this `TraceBuffer` in any namespace.
    Qualified(ObjectKey),
}

/// An invalid value of the annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRequest {
    value: String,
}

impl InjectRequest {
    /// Parses the value of the annotation.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest`] for a value that is neither `true`, `enabled`, `false`, `disabled`, `<name>` nor
    /// `<namespace>/<name>`.
    pub fn parse(value: &str) -> Result<Self, InvalidRequest> {
        if OPT_IN_VALUES.contains(&value) {
            Ok(Self::Default)
        } else if OPT_OUT_VALUES.contains(&value) {
            Ok(Self::OptOut)
        } else if is_dns_subdomain(value) {
            Ok(Self::Named(value.to_owned()))
        } else {
            let key = value.parse().map_err(|_| InvalidRequest { value: value.to_owned() });
            key.map(Self::Qualified)
        }
    }

    /// Returns the request of a pod: its annotation, or else the label of its namespace; `None` without
    /// either.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest`] as [`InjectRequest::parse`].
    pub fn resolve(
        annotation: Option<&str>,
        namespace_opted_in: bool,
    ) -> Result<Option<Self>, InvalidRequest> {
        match annotation {
            Some(value) => Self::parse(value).map(Some),
            None => Ok(namespace_opted_in.then_some(Self::Default)),
        }
    }

    /// Returns the request of a pod of `namespace` whose annotation is `inject`, if the pod may have a
    /// sidecar there.
    ///
    /// # Errors
    ///
    /// The skip for a pod that does not opt in, opts out, has an invalid annotation, or is in a
    /// namespace in which injection is disabled.
    pub fn of_pod(
        inject: Option<&str>,
        namespace: &NamespaceFacts,
        cluster: &ClusterFacts,
    ) -> Result<Self, Skip> {
        let name = &namespace.name;
        let request = Self::resolve(inject, namespace.opted_in)
            .map_err(|invalid| Skip::new(SkipReason::InvalidAnnotation, invalid.to_string()))?;
        match request {
            None => Err(Skip::not_requested(name)),
            Some(Self::OptOut) => Err(Skip::opted_out()),
            Some(_) if cluster.excludes(name) => Err(Skip::excluded(name)),
            Some(request) => Ok(request),
        }
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = quoted(&self.value);
        write!(
            formatter,
            "annotation tracebuffer.dev/inject is {value}; allowed are \"true\", \
             \"enabled\", \"false\", \"disabled\", and \"<name>\" or \"<namespace>/<name>\" of a \
             TraceBuffer, in lower case"
        )
    }
}

impl std::error::Error for InvalidRequest {}

#[cfg(test)]
mod tests {
    use super::*;

    fn named_in_full(namespace: &str, name: &str) -> InjectRequest {
        InjectRequest::Qualified(ObjectKey { namespace: namespace.into(), name: name.into() })
    }

    #[test]
    fn every_form_is_parsed() {
        for (value, meaning) in [
            ("true", InjectRequest::Default),
            ("enabled", InjectRequest::Default),
            ("false", InjectRequest::OptOut),
            ("disabled", InjectRequest::OptOut),
            ("traces", InjectRequest::Named("traces".into())),
            ("a.b-1.c", InjectRequest::Named("a.b-1.c".into())),
            ("0", InjectRequest::Named("0".into())),
            ("shop/traces", named_in_full("shop", "traces")),
            ("shop/true", named_in_full("shop", "true")),
        ] {
            assert_eq!(InjectRequest::parse(value), Ok(meaning), "{value}");
        }
    }

    #[test]
    fn anything_else_is_invalid() {
        let long = format!("{}/b", "a".repeat(64));
        let dotted = format!("{}.b", "a.".repeat(130));
        for value in [
            "", " ", "True", "FALSE", "Enabled", " true", "true ", "a b", "-a", "a-", ".a", "a.",
            "a..b", "a_b", "/", "a/", "/a", "a/b/c", "a.b/c", "A/b", "ä", "a\n", "{}", &long,
            &dotted,
        ] {
            assert!(InjectRequest::parse(value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn the_longest_names_are_valid() {
        let label = "a".repeat(63);
        let name = [label.as_str(), &label, &label, &"b".repeat(61)].join(".");
        assert_eq!(name.len(), 253);
        assert_eq!(
            InjectRequest::parse(&format!("{label}/{name}")),
            Ok(named_in_full(&label, &name))
        );
        assert!(InjectRequest::parse(&format!("{name}b")).is_err());
    }

    #[test]
    fn the_error_quotes_the_value_and_lists_the_allowed_ones() {
        let error = InjectRequest::parse("Yes\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "annotation tracebuffer.dev/inject is \"Yes\\n\"; allowed are \"true\", \
             \"enabled\", \"false\", \"disabled\", and \"<name>\" or \"<namespace>/<name>\" of a \
             TraceBuffer, in lower case"
        );
        let long = InjectRequest::parse(&"x ".repeat(100_000)).unwrap_err().to_string();
        assert!(long.len() < 256, "{long}");
    }

    #[test]
    fn the_pods_annotation_takes_precedence_over_the_namespaces_label() {
        let of = |annotation, asks| InjectRequest::resolve(annotation, asks).unwrap();
        assert_eq!(of(None, false), None);
        assert_eq!(of(None, true), Some(InjectRequest::Default));
        assert_eq!(of(Some("false"), true), Some(InjectRequest::OptOut));
        assert_eq!(of(Some("a"), true), Some(InjectRequest::Named("a".into())));
        assert!(InjectRequest::resolve(Some("?"), true).is_err());
    }
}
