//! Kinds of values that Kubernetes defines.

use super::{ValueError, ValueKind};
use crate::domain::operator::labels::{is_dns_label, is_dns_subdomain};
use crate::domain::operator::object_key::ObjectKey;

/// The name of a Kubernetes object: an RFC 1123 subdomain.
pub(in crate::cli) struct ObjectName;

/// The name of a namespace: an RFC 1123 label.
pub(in crate::cli) struct NamespaceName;

/// A DNS name that TLS clients can check: RFC 1123 labels, the last of which is no number.
pub(in crate::cli) struct HostName;

/// Maximum bytes of a host name: the longest DNS name is 253 bytes, and the certificate also holds
/// the name with `.cluster.local` appended.
const MAX_HOST_NAME_BYTES: usize = 253 - ".cluster.local".len();

/// Names of namespaces; may be empty.
pub(in crate::cli) struct NamespaceList;

/// The namespace and the name of an object.
pub(in crate::cli) struct ObjectReference;

/// The reference of a container image; only characters that cannot occur are refused.
pub(in crate::cli) struct Image;

impl ValueKind for ObjectName {
    type Value = String;

    fn value_name(&self) -> String {
        "NAME".into()
    }

    fn allowed(&self) -> String {
        "a name of lower-case letters, digits, '-' and '.'".into()
    }

    fn parse(&self, text: &str) -> Result<String, ValueError> {
        if is_dns_subdomain(text) { Ok(text.into()) } else { Err(ValueError::NotAllowed) }
    }
}

impl ValueKind for NamespaceName {
    type Value = String;

    fn value_name(&self) -> String {
        "NAME".into()
    }

    fn allowed(&self) -> String {
        "a name of lower-case letters, digits and '-', up to 63 characters".into()
    }

    fn parse(&self, text: &str) -> Result<String, ValueError> {
        if is_dns_label(text) { Ok(text.into()) } else { Err(ValueError::NotAllowed) }
    }
}

impl ValueKind for HostName {
    type Value = String;

    fn value_name(&self) -> String {
        "NAME".into()
    }

    fn allowed(&self) -> String {
        format!(
            "a DNS name of up to {MAX_HOST_NAME_BYTES} characters: labels of lower-case letters, \
             digits and '-', up to 63 characters each, the last one not a number"
        )
    }

    fn parse(&self, text: &str) -> Result<String, ValueError> {
        let is_host_name = text.len() <= MAX_HOST_NAME_BYTES
            && text.split('.').all(is_dns_label)
            && !text.rsplit('.').next().is_some_and(is_number);
        if is_host_name { Ok(text.into()) } else { Err(ValueError::NotAllowed) }
    }
}

/// Returns whether clients read a name that ends in this label as an IPv4 address.
fn is_number(label: &str) -> bool {
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    label.bytes().all(|byte| byte.is_ascii_digit()) || label.strip_prefix("0x").is_some_and(is_hex)
}

impl ValueKind for NamespaceList {
    type Value = Vec<String>;

    fn value_name(&self) -> String {
        "NAME,…".into()
    }

    fn allowed(&self) -> String {
        "names of namespaces as name,name2".into()
    }

    fn parse(&self, text: &str) -> Result<Vec<String>, ValueError> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let name = |name: &str| {
            let error = || ValueError::other(format!("{name:?} is not the name of a namespace"));
            is_dns_label(name).then(|| name.to_owned()).ok_or_else(error)
        };
        names.map(name).collect()
    }
}

impl ValueKind for ObjectReference {
    type Value = ObjectKey;

    fn value_name(&self) -> String {
        "NAMESPACE/NAME".into()
    }

    fn allowed(&self) -> String {
        "a namespace and a name as namespace/name".into()
    }

    fn parse(&self, text: &str) -> Result<ObjectKey, ValueError> {
        text.parse().map_err(|_| ValueError::NotAllowed)
    }
}

impl ValueKind for Image {
    type Value = String;

    fn value_name(&self) -> String {
        "IMAGE".into()
    }

    fn allowed(&self) -> String {
        "the reference of an image, such as registry.example/tracebuffer:0.1.0".into()
    }

    fn parse(&self, text: &str) -> Result<String, ValueError> {
        let is_reference = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        if is_reference { Ok(text.into()) } else { Err(ValueError::NotAllowed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_namespaces_may_be_empty_and_an_invalid_name_is_reported() {
        assert_eq!(NamespaceList.parse("").unwrap(), [""; 0]);
        assert_eq!(NamespaceList.parse("kube-system, istio-system").unwrap().len(), 2);
        let error = NamespaceList.parse("kube-system,A.b").unwrap_err();
        assert_eq!(error, ValueError::other("\"A.b\" is not the name of a namespace"));
    }

    #[test]
    fn a_reference_has_a_namespace_and_a_name() {
        let key = ObjectReference.parse("platform/all.traces").unwrap();
        assert_eq!((key.namespace.as_str(), key.name.as_str()), ("platform", "all.traces"));
        for text in ["", "all", "/all", "platform/", "a.b/all", "a/b/c"] {
            assert_eq!(ObjectReference.parse(text), Err(ValueError::NotAllowed), "{text}");
        }
    }
}
