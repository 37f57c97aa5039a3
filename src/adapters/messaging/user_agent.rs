//! What a sender calls itself, for the log.

use std::fmt::{self, Display};

use http::HeaderMap;
use http::header::USER_AGENT;

use crate::domain::text::{Escaped, truncated_bytes};

/// Maximum bytes shown; those of SDKs have about 60.
const MAX_BYTES: usize = 100;

/// The beginning of a request's `User-Agent`, copied because the header belongs to a head that is
/// freed before the body is read.
///
/// Displayed escaped, and with `…` if it was longer.
#[derive(Debug)]
pub(super) struct UserAgent(Option<Box<[u8]>>);

impl UserAgent {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(headers.get(USER_AGENT).map(|value| {
            let text = value.as_bytes();
            // One byte more, to tell whether it was cut.
            text.get(..=MAX_BYTES).unwrap_or(text).into()
        }))
    }
}

impl Display for UserAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(text) = &self.0 else { return f.write_str("none") };
        Escaped(&truncated_bytes(&String::from_utf8_lossy(text), MAX_BYTES)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn shown(value: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_bytes(value).unwrap());
        UserAgent::of(&headers).to_string()
    }

    #[test]
    fn a_user_agent_is_shown_as_it_is() {
        let agent = "OTel-OTLP-Exporter-Python/1.39.0 grpc-python/1.76.0 grpc-c/51.0.0 (linux)";

        assert_eq!(shown(agent.as_bytes()), agent);
    }

    #[test]
    fn a_long_user_agent_is_cut_to_100_bytes() {
        let long = shown(&[b'a'; 5000]);

        assert_eq!(long, format!("{}…", "a".repeat(97)));
        assert_eq!(shown(&[b'a'; 100]), "a".repeat(100));
    }

    #[test]
    fn a_user_agent_cannot_begin_a_line_or_steer_a_terminal() {
        assert_eq!(shown(b"a\tb\xc2\x9b2J\xff"), "a\\tb\\u{9b}2J\u{fffd}");
    }

    #[test]
    fn a_request_without_a_user_agent_has_none() {
        assert_eq!(UserAgent::of(&HeaderMap::new()).to_string(), "none");
    }
}
