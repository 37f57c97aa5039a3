//! The unknown keys of a request's envelopes.

use crate::domain::text::truncated;

/// Maximum keys remembered, and characters of each.
const MAX_KEYS: usize = 3;
const MAX_KEY_CHARS: usize = 40;

/// The first three different unknown keys of the request, its `ResourceSpans` and `ScopeSpans`, cut
/// to 40 characters: they tell what a request without spans is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownKeys(Vec<String>);

impl UnknownKeys {
    /// Returns the keys in the order in which they were found.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    pub(super) fn add(&mut self, key: &str) {
        if self.0.len() < MAX_KEYS {
            let key = truncated(key, MAX_KEY_CHARS).into_owned();
            if !self.0.contains(&key) {
                self.0.push(key);
            }
        }
    }
}
