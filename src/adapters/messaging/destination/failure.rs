//! Failures without a response of the destination, and text that is safe to show.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write;

use crate::domain::delivery::{Failure, FailureKind};

/// Maximum bytes of a text from outside.
const MAX_TEXT_BYTES: usize = 1024;

/// The stage at which a send failed; its code is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendStage {
    /// A certificate, key or header file.
    File,
    /// Looking up the host's addresses.
    Dns,
    /// Opening the TCP connection.
    Connect,
    /// The TLS handshake, or the peer's rejection of it afterwards.
    Tls,
    /// A request that was interrupted.
    Reset,
    /// A response that is invalid.
    Response,
    /// Printing to the console.
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

/// Returns a failure after which the same bytes are retried.
pub(super) fn unavailable(stage: SendStage, message: impl Into<Cow<'static, str>>) -> Failure {
    Failure {
        kind: FailureKind::Unavailable,
        code: stage.code(),
        retry_after: None,
        message: message.into(),
    }
}

/// Makes `text` safe for logs and terminals: escapes control and bidirectional characters,
/// truncates after 1 KiB.
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

/// Returns whether `character` separates lines or reorders text on a screen.
const fn is_bidi_control(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the messages of an error and its sources, without repetitions.
pub(super) fn error_chain(error: &(dyn Error + 'static)) -> String {
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
