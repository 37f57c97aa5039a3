//! Failures that no answer of the destination explains, and text that is safe to show.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write;

use crate::domain::delivery::{Failure, FailureKind};

/// Most bytes of a foreign text that are kept.
const MAX_TEXT_BYTES: usize = 1024;

/// How far a send came before it failed; its name is the metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendStage {
    /// A certificate, key or header file.
    File,
    /// Looking up the host's addresses.
    Dns,
    /// Opening the TCP connection.
    Connect,
    /// The TLS handshake, or what the peer thinks of it afterwards.
    Tls,
    /// A request that was cut short.
    Reset,
    /// An answer that makes no sense.
    Response,
    /// Printing.
    Console,
}

impl SendStage {
    const fn code(self) -> &'static str {
        match self {
            Self::File => "FILE",
            Self::Dns => "DNS",
            Self::Connect => "CONNECT",
            Self::Tls => "TLS",
            Self::Reset => "RESET",
            Self::Response => "ANSWER",
            Self::Console => "CONSOLE",
        }
    }
}

/// A failure to be tried again, with the same bytes.
pub(super) fn unavailable(step: SendStage, message: impl Into<Cow<'static, str>>) -> Failure {
    Failure {
        kind: FailureKind::Unavailable,
        code: step.code(),
        retry_after: None,
        message: message.into(),
    }
}

/// Returns `text` fit for a log or a terminal: control and direction-changing characters escaped,
/// cut after 1 KiB.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MAX_TEXT_BYTES));
    for character in text.chars() {
        if shown.len() + character.len_utf8() > MAX_TEXT_BYTES {
            shown.push('…');
            break;
        }
        if character.is_control() || is_bidi_control(character) {
            // Writing to a String cannot fail.
            let _ = write!(shown, "{}", character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Line separators and the characters that reorder text on a screen.
const fn is_bidi_control(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns what an error and the errors behind it say, each once.
pub(super) fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    printable(&text)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(printable("a\n\u{1b}[2J\u{7f}\u{9b}b"), r"a\n\u{1b}[2J\u{7f}\u{9b}b");
    }

    #[test]
    fn characters_that_reorder_text_are_shown_and_not_obeyed() {
        assert_eq!(printable("a\u{202e}b\u{2066}"), r"a\u{202e}b\u{2066}");
    }

    #[test]
    fn ordinary_text_of_any_language_is_left_alone() {
        assert_eq!(printable("Überlauf: 満杯 \"'\\"), "Überlauf: 満杯 \"'\\");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let shown = printable(&"é".repeat(600));

        assert_eq!(shown, format!("{}…", "é".repeat(512)));
    }

    #[test]
    fn an_error_is_explained_by_its_causes_without_repetition() {
        #[derive(Debug, thiserror::Error)]
        #[error("no connection")]
        struct Outer(#[source] io::Error);

        let error = Outer(io::Error::other("refused\n"));
        assert_eq!(error_chain(&error), r"no connection: refused\n");
    }
}
