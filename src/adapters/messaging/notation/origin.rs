//! The origin of a web page.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;

use super::url::{parse_host, parse_port};

/// An origin as browsers write it in the `Origin` header: `https://shop.example:8443`, in lower
/// case, without the default port of http and https.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is not an origin. The message completes "the origin …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError(&'static str);

impl Origin {
    /// Returns the text of the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (scheme, authority) = text
            .split_once("://")
            .ok_or(OriginError("must begin with a scheme, such as https://"))?;
        let scheme = scheme.to_ascii_lowercase();
        if !is_scheme(&scheme) {
            return Err(OriginError("has a scheme that is not valid"));
        }
        if authority.contains(['/', '?', '#']) {
            return Err(OriginError("must end after the host and port, without a slash"));
        }
        if authority.contains('*') {
            return Err(OriginError("must not have wildcards; * alone allows every origin"));
        }
        if authority.contains('@') {
            return Err(OriginError("must not have a user"));
        }
        let authority: Authority =
            authority.parse().map_err(|_| OriginError("has a host that is not valid"))?;
        let host =
            parse_host(authority.host()).ok_or(OriginError("has a host that is not valid"))?;
        let port = parse_port(authority.as_str(), authority.host())
            .map_err(|_| OriginError("has a port that is not a number from 1 to 65535"))?;
        let host = host.to_ascii_lowercase();
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let port =
            port.filter(|port| !matches!((scheme.as_str(), *port), ("http", 80) | ("https", 443)));
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        Ok(Self(format!("{scheme}://{host}{port}")))
    }
}

/// Returns whether `text`, in lower case, is a scheme (RFC 3986, 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
        })
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for OriginError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for (text, expected) in [
            ("https://shop.example", "https://shop.example"),
            ("HTTPS://Shop.Example", "https://shop.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://shop.example:80", "http://shop.example"),
            ("http://shop.example:443", "http://shop.example:443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[0:0::1]:8080", "http://[::1]:8080"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_browsers_would_never_send_is_rejected_with_the_reason() {
        for (text, reason) in [
            ("shop.example", "must begin with a scheme"),
            ("null", "must begin with a scheme"),
            ("//shop.example", "must begin with a scheme"),
            ("://shop.example", "scheme that is not valid"),
            ("1http://shop.example", "scheme that is not valid"),
            ("https://shop.example/", "without a slash"),
            ("https://shop.example/app", "without a slash"),
            ("https://shop.example?a", "without a slash"),
            ("https://*.shop.example", "wildcards"),
            ("https://*", "wildcards"),
            ("https://me@shop.example", "must not have a user"),
            ("https://", "host that is not valid"),
            ("https://:443", "host that is not valid"),
            ("https://a b", "host that is not valid"),
            ("https://\u{e9}.example", "host that is not valid"),
            ("https://a:0", "port that is not a number"),
            ("https://a:", "port that is not a number"),
            ("https://a:99999", "port that is not a number"),
        ] {
            let error = text.parse::<Origin>().unwrap_err().to_string();

            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
