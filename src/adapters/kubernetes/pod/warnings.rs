//! Warnings of the admission response.

use crate::domain::text::{join_limited, quoted, truncated_bytes};

/// Maximum bytes of a warning. The API server truncates the warnings of a request at 4 KiB in total.
const MAX_BYTES: usize = 255;
/// Maximum containers that a warning names.
const MAX_CONTAINERS: usize = 3;

/// Returns `text` as a warning with the prefix of tracebuffer, truncated to a length that every client
/// shows.
pub(super) fn format_warning(text: &str) -> String {
    truncated_bytes(&format!("tracebuffer: {text}"), MAX_BYTES).into_owned()
}

/// Returns the names of containers for a message.
pub(super) fn container_list(names: &[&str]) -> String {
    let noun = if names.len() == 1 { "container" } else { "containers" };
    let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    format!("{noun} {}", join_limited(names.iter().map(String::as_str), MAX_CONTAINERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_has_a_prefix() {
        assert_eq!(format_warning("text"), "tracebuffer: text");
    }

    #[test]
    fn a_long_warning_is_cut_at_a_character() {
        for text in ["é".repeat(500), format!("x{}", "é".repeat(500)), "a".repeat(500)] {
            let warning = format_warning(&text);
            assert!((252..256).contains(&warning.len()) && warning.ends_with('…'), "{warning}");
        }
    }

    #[test]
    fn containers_are_named() {
        assert_eq!(container_list(&["a"]), r#"container "a""#);
        assert_eq!(container_list(&["a", "b", "c", "d"]), r#"containers "a", "b", "c" and 1 more"#);
    }
}
