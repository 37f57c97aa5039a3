//! The audiences of the API server, which are those of the tokens that it accepts.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use tracing::warn;

use crate::adapters::files::{self, FileReads};

/// The token of the pod's service account, issued for the API server.
const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Maximum size of a token in bytes, far above that of any token has.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;

#[derive(Deserialize)]
struct Claims {
    #[serde(default, rename = "aud")]
    audiences: Audiences,
}

/// One or many, as in RFC 7519.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    Many(Vec<String>),
    One(String),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Many(vec![])
    }
}

/// Returns the audiences of this process's own token; none, with a warning, outside of a pod.
#[must_use]
pub async fn api_audiences() -> Vec<String> {
    let read = || files::read_bounded(Path::new(TOKEN_FILE), MAX_TOKEN_BYTES);
    let token = FileReads::default().run(read).await.flatten().ok();
    let token = token.and_then(|bytes| String::from_utf8(bytes).ok());
    let found = token.and_then(|token| audiences(&token)).unwrap_or_default();
    if found.is_empty() {
        warn!(
            "the audiences of the API server cannot be read from {TOKEN_FILE}: of the TraceBuffers that \
             send tokens for it, only those with its usual names are refused"
        );
    }
    found
}

/// Reads the claims of a JSON web token. Its signature is not verified, since the token grants nothing
/// here.
fn audiences(token: &str) -> Option<Vec<String>> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some(match claims.audiences {
        Audiences::Many(all) => all,
        Audiences::One(one) => vec![one],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.signature\n", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn one_audience_or_many_are_read_from_a_token() {
        let many = token(r#"{"aud": ["https://kubernetes.default.svc", "k3s"], "sub": "x"}"#);
        assert_eq!(audiences(&many).unwrap(), ["https://kubernetes.default.svc", "k3s"]);
        assert_eq!(audiences(&token(r#"{"aud": "api"}"#)).unwrap(), ["api"]);
        assert_eq!(audiences(&token("{}")).unwrap(), [""; 0]);
    }

    #[test]
    fn an_invalid_token_has_no_audiences() {
        for text in ["", "a", "a.b", "a.!!.c", "e30.bm9uZQ.x"] {
            assert_eq!(audiences(text), None, "{text}");
        }
    }
}
