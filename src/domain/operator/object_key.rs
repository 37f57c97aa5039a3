//! The name of an object in the cluster.

use std::fmt;
use std::str::FromStr;

use super::labels::{is_dns_label, is_dns_subdomain};

/// The name of a namespaced object, written as `<namespace>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The namespace of the object.
    pub namespace: String,
    /// The name of the object in its namespace.
    pub name: String,
}

/// A text that is not `<namespace>/<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidObjectKey;

impl FromStr for ObjectKey {
    type Err = InvalidObjectKey;

    fn from_str(text: &str) -> Result<Self, InvalidObjectKey> {
        let (namespace, name) = text.split_once('/').ok_or(InvalidObjectKey)?;
        if is_dns_label(namespace) && is_dns_subdomain(name) {
            Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
        } else {
            Err(InvalidObjectKey)
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for InvalidObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("must be a namespace and a name as <namespace>/<name>")
    }
}

impl std::error::Error for InvalidObjectKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_as_it_is_written() {
        for text in ["shop/default", "a/b.c-1"] {
            assert_eq!(text.parse::<ObjectKey>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_text_that_is_not_a_namespace_and_a_name_is_rejected() {
        for text in ["", "a", "/", "a/", "/a", "a/b/c", "a.b/c", "A/b", "a/B", "a/b ", "-/b"] {
            assert_eq!(text.parse::<ObjectKey>(), Err(InvalidObjectKey), "{text:?}");
        }
    }
}
