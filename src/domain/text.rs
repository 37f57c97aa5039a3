//! Foreign text in messages: quoting, cutting, escaping and joining it.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Display, Write};

/// Maximum characters of a foreign text that a message quotes.
const MAX_QUOTED_CHARS: usize = 80;
/// Marks the place where a text was cut.
const ELLIPSIS: char = '…';

/// Displays a text with control characters, line separators and the characters that reorder text on a
/// screen escaped, so that it cannot begin a line, steer a terminal or disguise itself.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(
    /// The text.
    pub &'a str,
);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| {
            if needs_escape(character) {
                write!(f, "{}", character.escape_default())
            } else {
                f.write_char(character)
            }
        })
    }
}

/// Returns `text` in quotes, escaped, and cut after 80 characters.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("{:?}", truncated(text, MAX_QUOTED_CHARS))
}

/// Returns `text`, or its first `max_chars` characters and `…`.
#[must_use]
pub fn truncated(text: &str, max_chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max_chars) {
        None => text.into(),
        Some((end, _)) => with_ellipsis(text, end).into(),
    }
}

/// Returns `text`, or as much of its beginning as fits into `max_bytes` bytes together with `…`.
#[must_use]
pub fn truncated_bytes(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes {
        return text.into();
    }
    let end = text.floor_char_boundary(max_bytes.saturating_sub(ELLIPSIS.len_utf8()));
    with_ellipsis(text, end).into()
}

/// Returns `text` on one line, without control characters and without those that [`Escaped`]
/// escapes, and cut after `max_chars` characters.
#[must_use]
pub fn in_one_line(text: &str, max_chars: usize) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join("; ").replace(needs_escape, " ");
    truncated(&line, max_chars).into_owned()
}

/// Returns the first `max_names` names with commas, and how many more there are.
#[must_use]
pub fn join_limited<'a>(names: impl ExactSizeIterator<Item = &'a str>, max_names: usize) -> String {
    let more = names.len().saturating_sub(max_names);
    let shown = names.take(max_names).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Returns `1 pod`, `2 pods`.
#[must_use]
pub fn pluralize(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Returns the message of `error` and those of its sources, each once, separated by colons.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = cause.source();
    }
    text
}

fn with_ellipsis(text: &str, end: usize) -> String {
    text.get(..end).unwrap_or_default().chars().chain([ELLIPSIS]).collect()
}

/// Returns whether a character begins a line, steers a terminal or reorders text on a screen.
fn needs_escape(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_written_in_the_singular() {
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
    fn a_text_is_cut_only_beyond_the_limit_of_characters() {
        assert_eq!(truncated("éé", 2), "éé");
        assert_eq!(truncated("ééé", 2), "éé…");
        assert_eq!(truncated("é", 0), "…");
    }

    #[test]
    fn a_text_cut_by_bytes_fits_with_its_ellipsis_and_ends_at_a_character() {
        assert_eq!(truncated_bytes("éé", 4), "éé");
        assert_eq!(truncated_bytes("ééé", 5), "é…");
        assert_eq!(truncated_bytes("ééé", 1), "…");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(Escaped("a\n\u{1b}[2J\u{7f}\u{9b}b").to_string(), r"a\n\u{1b}[2J\u{7f}\u{9b}b");
    }

    #[test]
    fn characters_that_reorder_text_are_escaped() {
        assert_eq!(
            Escaped("a\u{202e}b\u{2066}c\u{2028}\u{61c}").to_string(),
            r"a\u{202e}b\u{2066}c\u{2028}\u{61c}"
        );
    }

    #[test]
    fn ordinary_text_of_any_language_is_not_escaped() {
        assert_eq!(Escaped("Überlauf: 満杯 \"'\\").to_string(), "Überlauf: 満杯 \"'\\");
    }

    #[test]
    fn each_error_of_a_chain_is_shown_once() {
        #[derive(Debug)]
        struct Layer(&'static str, Option<Box<Layer>>);
        impl Display for Layer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Error for Layer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.1.as_deref().map(|layer| layer as _)
            }
        }
        let inner = Layer("refused", None);
        let middle = Layer("no connection", Some(inner.into()));

        let error = Layer("send: no connection", Some(middle.into()));

        assert_eq!(error_chain(&error), "send: no connection: refused");
    }

    #[test]
    fn several_lines_become_one() {
        assert_eq!(in_one_line("a:\n  b\n\n c\u{7}d\n", 99), "a:; b; c d");
        assert_eq!(in_one_line("a\u{202e}b\u{2028}c", 99), "a b c");
        assert_eq!(in_one_line("abc", 3), "abc");
        assert_eq!(in_one_line("abcd", 3), "abc…");
    }

    #[test]
    fn a_long_list_ends_with_the_number_of_omitted_items() {
        assert_eq!(join_limited(["a", "b"].into_iter(), 2), "a, b");
        assert_eq!(join_limited(["a", "b", "c", "d"].into_iter(), 2), "a, b and 2 more");
    }
}
