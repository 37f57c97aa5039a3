//! Failures without a response of the destination, and text that is safe to show.

use std::borrow::Cow;
use std::error::Error;

use crate::domain::delivery::{Failure, FailureKind};
use crate::domain::text::{self, Escaped, truncated_bytes};

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
    /// Reaching the destination through the proxy.
    Proxy,
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
            Self::Proxy => "PROXY",
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

/// Returns a failure after a part of the request was sent that may be the request's own fault.
pub(super) fn inconclusive(stage: SendStage, message: impl Into<Cow<'static, str>>) -> Failure {
    Failure { kind: FailureKind::Inconclusive, ..unavailable(stage, message) }
}

/// Returns the failure message of an answer: who answered what, what the answer says, quoted, and
/// what to do about it.
pub(super) fn answer_message(peer: &str, answer: &str, text: &str, remedy: &str) -> String {
    if text.is_empty() {
        return format!("{peer} answered {answer}{remedy}");
    }
    format!("{peer} answered {answer}: {}{remedy}", quoted(text))
}

/// Quotes `text` after cutting it to 1 KiB, with the same characters escaped as by [`printable`].
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", truncated_bytes(text, MAX_TEXT_BYTES))
}

/// Makes `text` safe for logs and terminals: truncates after 1 KiB, escapes control and
/// bidirectional characters.
pub(super) fn printable(text: &str) -> String {
    Escaped(&truncated_bytes(text, MAX_TEXT_BYTES)).to_string()
}

/// Returns the messages of an error and its sources, [`printable`].
pub(super) fn error_chain(error: &dyn Error) -> String {
    printable(&text::error_chain(error))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let shown = printable(&"é".repeat(600));

        assert_eq!(shown, format!("{}…", "é".repeat(510)));
    }

    #[test]
    fn a_quoted_text_is_cut_and_escaped() {
        assert_eq!(quoted("a \"b\"\n\u{1b}[2J\u{202e}"), r#""a \"b\"\n\u{1b}[2J\u{202e}""#);
        assert_eq!(quoted(&"x".repeat(2_000)).len(), MAX_TEXT_BYTES + 2);
    }

    #[test]
    fn an_answer_is_shown_with_its_text_and_the_remedy() {
        assert_eq!(
            answer_message("peer", "HTTP 500", "", "; wait"),
            "peer answered HTTP 500; wait"
        );
        assert_eq!(
            answer_message("peer", "HTTP 500", "oops", "; wait"),
            r#"peer answered HTTP 500: "oops"; wait"#
        );
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
