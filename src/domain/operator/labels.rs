//! The syntax of names and labels in Kubernetes.

/// Maximum bytes of the name of an object.
const MAX_NAME_BYTES: usize = 253;
/// Maximum bytes of a part of a name between dots, of the name of a namespace, of the name in a
/// label's key, and of a label's value.
const MAX_LABEL_BYTES: usize = 63;

/// Returns whether `text` is a DNS-1123 label, as namespaces are named.
#[must_use]
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= MAX_LABEL_BYTES && is_dns_part(text)
}

/// Returns whether `text` is a DNS-1123 subdomain, as objects are named.
///
/// As in the API server, the parts between dots may be longer than 63 bytes.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES && text.split('.').all(is_dns_part)
}

/// Returns whether `text` has the characters of a DNS-1123 label, of any length.
fn is_dns_part(text: &str) -> bool {
    let is_inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !text.is_empty() && text.bytes().all(is_inner) && text.trim_matches('-') == text
}

/// Returns whether `text` is the key of a label or an annotation: a name, optionally after a
/// DNS subdomain and a slash.
#[must_use]
pub fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => {
            is_dns_subdomain(prefix) && is_label_value(name) && !name.is_empty()
        }
        None => is_label_value(text) && !text.is_empty(),
    }
}

/// Returns whether `text` is the value of a label; it may be empty.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_outer = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= MAX_LABEL_BYTES
        && text.bytes().all(is_inner)
        && is_outer(bytes.first())
        && is_outer(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_dns_labels() {
        let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
        for (text, is) in [
            ("a", true),
            ("0-a", true),
            (&*longest, true),
            (&*too_long, false),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("a.b", false),
            ("A", false),
            ("ä", false),
        ] {
            assert_eq!(is_dns_label(text), is, "{text}");
        }
    }

    #[test]
    fn objects_are_named_by_dns_subdomains() {
        let (longest, too_long) = ("a".repeat(253), "a".repeat(254));
        for (text, is) in [
            ("a.b-1.c", true),
            (&*longest, true),
            (&*too_long, false),
            ("", false),
            (".a", false),
            ("a.", false),
            ("a..b", false),
            ("a.-b", false),
            ("a_b", false),
        ] {
            assert_eq!(is_dns_subdomain(text), is, "{text}");
        }
    }

    #[test]
    fn label_keys_and_values_have_the_syntax_of_kubernetes() {
        for (text, is_key, is_value) in [
            ("team", true, true),
            ("Team_1.x", true, true),
            ("example.com/team", true, false),
            ("", false, true),
            ("/team", false, false),
            ("example.com/", false, false),
            ("Example.com/team", false, false),
            ("a/b/c", false, false),
            ("-team", false, false),
            ("team-", false, false),
            ("te am", false, false),
            ("té", false, false),
        ] {
            assert_eq!((is_label_key(text), is_label_value(text)), (is_key, is_value), "{text}");
        }
        assert!(is_label_value(&"a".repeat(63)) && !is_label_value(&"a".repeat(64)));
    }
}
