//! Keeps what a request was authorized with out of the log, where an answer repeats it.

use std::borrow::Cow;
use std::cmp::Reverse;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue};

use crate::domain::delivery::{Delivered, Failure};

/// Shorter values are no secrets, and hiding them would spoil the text.
const MIN_BYTES: usize = 6;
const HIDDEN: &str = "[hidden]";

/// Values of headers that must not be shown.
#[derive(Default)]
pub(super) struct Secrets(Vec<HeaderValue>);

impl Secrets {
    /// The values of headers, except `User-Agent`.
    pub(super) fn of_headers(headers: &HeaderMap) -> Self {
        let headers = headers.iter().filter(|(name, _)| *name != USER_AGENT);
        Self(headers.map(|(_, value)| value.clone()).collect())
    }

    /// The value of one header.
    pub(super) fn of_value(value: &HeaderValue) -> Self {
        Self(vec![value.clone()])
    }

    /// Hides them in a text.
    pub(super) fn hide_in(&self, text: &str) -> String {
        let mut secrets: Vec<String> = self.0.iter().flat_map(forms).collect();
        secrets.retain(|secret| secret.len() >= MIN_BYTES);
        // The longest first, since it contains others.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
    }

    /// Hides them in what is said of a delivery.
    pub(super) fn hide_in_result(
        &self,
        result: Result<Delivered, Failure>,
    ) -> Result<Delivered, Failure> {
        match result {
            Ok(delivered) if delivered.message.is_empty() => Ok(delivered),
            Ok(delivered) => {
                Ok(Delivered { message: self.hide_in(&delivered.message), ..delivered })
            }
            Err(failure) => {
                Err(Failure { message: Cow::Owned(self.hide_in(&failure.message)), ..failure })
            }
        }
    }
}

/// Returns a value, what follows its scheme (`Bearer …`), and the user and password of `Basic …`, each
/// also as it is when escaped.
fn forms(value: &HeaderValue) -> Vec<String> {
    let value = String::from_utf8_lossy(value.as_bytes());
    let token = value.rsplit(' ').next().unwrap_or_default();
    let decoded = STANDARD.decode(token).ok().filter(|_| token.len() < value.len());
    let decoded = decoded.and_then(|decoded| String::from_utf8(decoded).ok());
    let credentials = decoded.unwrap_or_default();
    let password = credentials.split_once(':').map_or("", |(_, password)| password);
    let escaped = |secret: &str| format!("{secret:?}").trim_matches('"').to_owned();
    let texts = [&value, token, &credentials, password];
    texts.into_iter().flat_map(|secret| [secret.to_owned(), escaped(secret)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(value: &'static str, text: &str) -> String {
        Secrets::of_value(&HeaderValue::from_static(value)).hide_in(text)
    }

    #[test]
    fn a_value_that_is_repeated_is_hidden() {
        assert_eq!(hidden("sk-SECRET", "invalid api key: sk-SECRET"), "invalid api key: [hidden]");
        assert_eq!(hidden("sk-SECRET", "sk-SECRET, sk-SECRET"), "[hidden], [hidden]");
    }

    #[test]
    fn a_token_is_hidden_with_and_without_its_scheme() {
        assert_eq!(hidden("Bearer abcdefg", "Bearer abcdefg expired"), "[hidden] expired");
        assert_eq!(hidden("Bearer abcdefg", "abcdefg expired"), "[hidden] expired");
    }

    #[test]
    fn user_and_password_are_hidden_as_they_are_and_encoded() {
        let value = "Basic dXNlcjpzM2NyZXQ="; // user:s3cret
        for text in ["dXNlcjpzM2NyZXQ=", "user:s3cret", "s3cret"] {
            assert_eq!(hidden(value, text), "[hidden]", "{text}");
        }
    }

    #[test]
    fn a_value_is_hidden_where_it_is_escaped() {
        assert_eq!(hidden(r#"a"b\cdef"#, r#""it was a\"b\\cdef""#), r#""it was [hidden]""#);
    }

    #[test]
    fn short_values_are_shown() {
        assert_eq!(hidden("team", "no such team"), "no such team");
    }
}
