//! Putting other people's text and lists into messages.

/// Most characters of a foreign text that a message repeats.
const MAX_QUOTED_CHARS: usize = 80;

/// Returns `text` quoted, escaped and cut: whoever wrote a pod must not write a message's other lines.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_QUOTED_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Returns `text` in one line, cut after `most` characters.
#[must_use]
pub fn in_one_line(text: &str, most: usize) -> String {
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = line.collect::<Vec<_>>().join("; ").replace(char::is_control, " ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most).chain(['…']).collect()
}

/// Returns a list with commas, cut after `most`.
#[must_use]
pub fn join_limited<'a>(names: impl ExactSizeIterator<Item = &'a str>, most: usize) -> String {
    let more = names.len().saturating_sub(most);
    let shown = names.take(most).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// `1 pod`, `2 pods`.
#[must_use]
pub fn pluralize(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_named_without_an_s() {
        assert_eq!([0, 1, 2].map(|n| pluralize(n, "pod")), ["0 pods", "1 pod", "2 pods"]);
    }

    #[test]
    fn control_characters_and_quotes_are_escaped() {
        assert_eq!(quoted("a\n\"b\"\u{202e}"), r#""a\n\"b\"\u{202e}""#);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(quoted(&"é".repeat(1000)), format!("\"{}…\"", "é".repeat(MAX_QUOTED_CHARS)));
    }

    #[test]
    fn several_lines_become_one() {
        assert_eq!(in_one_line("a:\n  b\n\n c\u{7}d\n", 99), "a:; b; c d");
        assert_eq!(in_one_line("abc", 3), "abc");
        assert_eq!(in_one_line("abcd", 3), "abc…");
    }

    #[test]
    fn a_long_list_says_how_many_are_left_out() {
        assert_eq!(join_limited(["a", "b"].into_iter(), 2), "a, b");
        assert_eq!(join_limited(["a", "b", "c", "d"].into_iter(), 2), "a, b and 2 more");
    }
}
