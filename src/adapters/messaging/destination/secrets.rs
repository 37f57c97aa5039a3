//! Keeps what a request was authorized with out of the log, where an answer repeats it.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue};

use crate::domain::delivery::{Delivered, Failure};

/// Shorter values are no secrets, and hiding them would spoil the text.
const MIN_BYTES: usize = 6;
const HIDDEN: &str = "[hidden]";

/// Texts that must not be shown.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// The values of headers, except `User-Agent`.
    pub(super) fn of_headers(headers: &HeaderMap) -> Self {
        let mut secrets = Self::default();
        for (_, value) in headers.iter().filter(|(name, _)| *name != USER_AGENT) {
            secrets.add(value);
        }
        secrets
    }

    /// The value of one header.
    pub(super) fn of_value(value: &HeaderValue) -> Self {
        let mut secrets = Self::default();
        secrets.add(value);
        secrets
    }

    /// Adds a value, what follows its scheme (`Bearer …`), and the user and password of `Basic …`.
    fn add(&mut self, value: &HeaderValue) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let token = value.rsplit(' ').next().unwrap_or_default();
        let decoded = STANDARD.decode(token).ok().filter(|_| token.len() < value.len());
        let decoded = decoded.and_then(|decoded| String::from_utf8(decoded).ok());
        let credentials = decoded.unwrap_or_default();
        let password = credentials.split_once(':').map_or("", |(_, password)| password);
        for secret in [&value, token, &credentials, password] {
            let escaped = format!("{secret:?}");
            let escaped = escaped.trim_matches('"');
            self.0.extend([secret, escaped].map(str::to_owned));
        }
        self.0.retain(|secret| secret.len() >= MIN_BYTES);
        // The longest first, since it contains others.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.0.dedup();
    }

    /// Hides them in a text.
    pub(super) fn hide_in(&self, text: &str) -> String {
        let hide = |text: String, secret: &String| text.replace(secret.as_str(), HIDDEN);
        self.0.iter().fold(text.to_owned(), hide)
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
