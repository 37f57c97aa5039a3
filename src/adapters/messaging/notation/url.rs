//! The URL of a destination.

use std::fmt;
use std::net::Ipv6Addr;
use std::num::NonZeroU16;
use std::str::FromStr;

use http::Uri;
use http::uri::InvalidUri;

use super::endpoint::{Endpoint, Protocol};

/// The default path of OTLP/HTTP traces (OTLP 1.11, "OTLP/HTTP Request").
pub const TRACES_PATH: &str = "/v1/traces";

/// The default port with TLS, as in the SDKs and the Collector (RFC 9110, 4.2.2).
const HTTPS_PORT: u16 = 443;

/// A parsed URL, before the defaults of a protocol are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether the scheme is `https`.
    pub tls: bool,
    host: String,
    port: Option<u16>,
    /// Empty if the URL has no path or the path is `/`.
    path: String,
}

/// Why a text is not a valid URL of a destination. Contains no part of possible secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// The text is not an http or https URL.
    NotHttp,
    /// The URL contains a user or password.
    Credentials,
    /// Another part of the URL is invalid, with the reason.
    Other(String),
}

impl Url {
    /// Applies the default port and path of `protocol`.
    ///
    /// # Errors
    ///
    /// The URL has a path, and the protocol is gRPC. The message completes "the URL …".
    pub fn into_endpoint(self, protocol: Protocol) -> Result<Endpoint, &'static str> {
        let path = match protocol {
            Protocol::Http if self.path.is_empty() => TRACES_PATH.to_owned(),
            Protocol::Grpc if !self.path.is_empty() => {
                return Err(
                    "must not have a path with protocol grpc; a path is allowed with protocol http",
                );
            }
            Protocol::Grpc | Protocol::Http => self.path,
        };
        let default_port = if self.tls { HTTPS_PORT } else { protocol.default_port() };
        let port = self.port.unwrap_or(default_port);
        Ok(Endpoint { tls: self.tls, host: self.host, port, path })
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.contains('@') {
            return Err(UrlError::Credentials);
        }
        if text.contains(['?', '#']) {
            return Err(UrlError::other("a query or fragment is not allowed"));
        }
        let tls = parse_scheme(text).ok_or(UrlError::NotHttp)?;
        let uri: Uri =
            text.parse().map_err(|error: InvalidUri| UrlError::Other(error.to_string()))?;
        let authority = uri.authority().ok_or(UrlError::NotHttp)?;
        let host = parse_host(authority.host()).ok_or(UrlError::other("the host is not valid"))?;
        let port = parse_port(authority.as_str(), authority.host())?;
        let path = if uri.path() == "/" { "" } else { uri.path() };
        Ok(Self { tls, host, port, path: path.to_owned() })
    }
}

impl UrlError {
    fn other(reason: &str) -> Self {
        Self::Other(reason.to_owned())
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp => f.write_str("it is not an http:// or https:// URL"),
            Self::Credentials => f.write_str("a user and password are not allowed"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for UrlError {}

fn parse_scheme(text: &str) -> Option<bool> {
    let (scheme, _) = text.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Some(false),
        "https" => Some(true),
        _ => None,
    }
}

/// Returns the host, in small letters and without brackets, if it is a valid name or address.
pub(super) fn parse_host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (!text.is_empty() && text.bytes().all(is_name)).then(|| text.to_ascii_lowercase())
}

/// Returns the port after `host`, if there is one.
pub(super) fn parse_port(authority: &str, host: &str) -> Result<Option<u16>, UrlError> {
    let suffix = authority.strip_prefix(host).unwrap_or_default();
    if suffix.is_empty() {
        return Ok(None);
    }
    let port = suffix.strip_prefix(':').and_then(|port| port.parse::<NonZeroU16>().ok());
    let port = port.ok_or(UrlError::other("the port is not a number from 1 to 65535"))?;
    Ok(Some(port.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str, protocol: Protocol) -> String {
        let endpoint = text.parse::<Url>().unwrap().into_endpoint(protocol).unwrap();
        format!("{endpoint}{}", endpoint.path)
    }

    fn reason(text: &str) -> String {
        text.parse::<Url>().unwrap_err().to_string()
    }

    #[test]
    fn the_port_without_tls_defaults_to_that_of_the_protocol() {
        assert_eq!(endpoint("http://collector", Protocol::Grpc), "http://collector:4317");
        assert_eq!(endpoint("HTTPS://Collector", Protocol::Grpc), "https://collector:443");
        assert_eq!(endpoint("HTTP://collector/a", Protocol::Http), "http://collector:4318/a");
    }

    #[test]
    fn the_port_with_tls_defaults_to_443_for_both_protocols() {
        for url in ["https://collector", "HTTPS://collector/"] {
            assert_eq!(endpoint(url, Protocol::Grpc), "https://collector:443");
            assert_eq!(endpoint(url, Protocol::Http), "https://collector:443/v1/traces");
        }
        assert_eq!(endpoint("https://[fd00::1]/a", Protocol::Http), "https://[fd00::1]:443/a");
    }

    #[test]
    fn an_explicit_port_is_kept() {
        assert_eq!(endpoint("https://collector:4317", Protocol::Grpc), "https://collector:4317");
        assert_eq!(endpoint("http://collector:443", Protocol::Grpc), "http://collector:443");
    }

    #[test]
    fn the_path_of_an_http_url_defaults_to_that_of_otlp() {
        for text in ["http://collector", "http://collector/"] {
            assert_eq!(endpoint(text, Protocol::Http), "http://collector:4318/v1/traces");
        }
    }

    #[test]
    fn an_explicit_path_of_an_http_url_is_kept() {
        assert_eq!(
            endpoint("http://collector/otlp/v1/traces/", Protocol::Http),
            "http://collector:4318/otlp/v1/traces/"
        );
    }

    #[test]
    fn a_grpc_url_may_end_with_a_slash() {
        let url = "http://collector/".parse::<Url>().unwrap();

        assert_eq!(url.into_endpoint(Protocol::Grpc).unwrap().path, "");
    }

    #[test]
    fn a_grpc_url_with_a_path_is_rejected() {
        let url = "http://collector:4317/v1/traces".parse::<Url>().unwrap();

        assert_eq!(
            url.into_endpoint(Protocol::Grpc),
            Err("must not have a path with protocol grpc; a path is allowed with protocol http")
        );
    }

    #[test]
    fn the_brackets_of_an_ipv6_host_are_removed() {
        let url = "http://[fd00:0::1]:4317".parse::<Url>().unwrap();

        assert_eq!(url.host, "fd00::1");
        assert_eq!(url.port, Some(4317));
    }

    #[test]
    fn a_host_may_contain_an_underscore_or_end_with_a_dot() {
        assert_eq!(
            endpoint("HTTP://otel_collector.ns.", Protocol::Grpc),
            "http://otel_collector.ns.:4317"
        );
    }

    #[test]
    fn a_text_that_is_not_an_http_url_is_rejected() {
        for text in ["collector:4317", "collector", "grpc://collector:4317", "://x", "/v1/traces"] {
            assert_eq!(reason(text), "it is not an http:// or https:// URL", "{text}");
        }
    }

    #[test]
    fn an_invalid_host_is_rejected() {
        for text in
            ["http://:4317", "http://[::g]:1", "http://[::1%25eth0]", "http://a$b", "http://"]
        {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_invalid_port_is_rejected_and_not_replaced_by_the_default() {
        for text in ["http://a:", "http://a:0", "http://a:65536", "http://a:99999", "http://a:x"] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_a_query_and_a_fragment_are_rejected_without_being_shown() {
        assert_eq!(reason("http://me:hunter2@a"), "a user and password are not allowed");
        for text in ["http://a/?key=hunter2", "http://a/#hunter2"] {
            assert_eq!(reason(text), "a query or fragment is not allowed");
        }
    }
}
