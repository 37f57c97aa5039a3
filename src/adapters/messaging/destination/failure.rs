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
    fn an_error_is_explained_by_its_causes_without_repetition() {
        #[derive(Debug, thiserror::Error)]
        #[error("no connection")]
        struct Outer(#[source] io::Error);

        let error = Outer(io::Error::other("refused\n"));
        assert_eq!(error_chain(&error), r"no connection: refused\n");
    }
}
