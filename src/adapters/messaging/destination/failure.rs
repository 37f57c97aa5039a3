//! Failures that no answer of the destination explains, and text that is safe to show.

use std::borrow::Cow;
use std::error::Error;

use crate::domain::delivery::{Failure, FailureKind};
use crate::domain::text::{self, Escaped, truncated_bytes};

/// Most bytes of a foreign text that are kept, before it is escaped.
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

/// Returns `text` cut to 1 KiB and then escaped, fit for a log or a terminal.
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
    fn an_error_is_explained_by_its_causes_without_repetition() {
        #[derive(Debug, thiserror::Error)]
        #[error("no connection")]
        struct Outer(#[source] io::Error);

        let error = Outer(io::Error::other("refused\n"));
        assert_eq!(error_chain(&error), r"no connection: refused\n");
    }
}
