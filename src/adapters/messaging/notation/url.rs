//! The URL of a destination.

use std::fmt;
use std::net::Ipv6Addr;
use std::num::NonZeroU16;
use std::str::FromStr;

use http::Uri;
use http::uri::InvalidUri;

use super::endpoint::{Endpoint, Protocol};

/// The path of OTLP/HTTP traces where the URL names none (OTLP 1.11, "OTLP/HTTP Request").
pub const TRACES_PATH: &str = "/v1/traces";

/// A URL as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it begins with `https://`.
    pub tls: bool,
    host: String,
    port: Option<u16>,
    /// Empty for `/`.
    path: String,
}

/// Why a text is no URL of a destination. Holds no part of what may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// It is no http or https URL at all.
    NotHttp,
    /// It holds a user or password.
    Credentials,
    /// It is one, and this is wrong with it.
    Other(String),
}

impl Url {
    /// Adds what `protocol` takes for granted.
    ///
    /// # Errors
    ///
    /// What must be otherwise, to complete "the URL …".
    pub fn into_endpoint(self, protocol: Protocol) -> Result<Endpoint, &'static str> {
        let path = match protocol {
            Protocol::Http if self.path.is_empty() => TRACES_PATH.to_owned(),
            Protocol::Grpc if !self.path.is_empty() => {
                return Err("must have no path with protocol grpc (with http it may)");
            }
            Protocol::Grpc | Protocol::Http => self.path,
        };
        let port = self.port.unwrap_or(protocol.default_port());
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
            return Err(UrlError::other("a query or fragment has no meaning here"));
        }
        let tls = parse_scheme(text).ok_or(UrlError::NotHttp)?;
        let uri: Uri =
            text.parse().map_err(|error: InvalidUri| UrlError::Other(error.to_string()))?;
        let authority = uri.authority().ok_or(UrlError::NotHttp)?;
        let host = parse_host(authority.host()).ok_or(UrlError::other("its host is not valid"))?;
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
            Self::NotHttp => f.write_str("it is no http:// or https:// URL"),
            Self::Credentials => f.write_str("a user and password do not belong there"),
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

/// Returns a host without brackets, if it is a name or an address.
fn parse_host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (!text.is_empty() && text.bytes().all(is_name)).then(|| text.to_owned())
}

/// Returns the port behind `host`, if there is one.
fn parse_port(authority: &str, host: &str) -> Result<Option<u16>, UrlError> {
    let behind_host = authority.strip_prefix(host).unwrap_or_default();
    if behind_host.is_empty() {
        return Ok(None);
    }
    let port = behind_host.strip_prefix(':').and_then(|port| port.parse::<NonZeroU16>().ok());
    let port = port.ok_or(UrlError::other("its port is no number from 1 to 65535"))?;
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
    fn a_url_without_a_port_has_the_port_of_its_protocol() {
        assert_eq!(endpoint("http://collector", Protocol::Grpc), "http://collector:4317");
        assert_eq!(
            endpoint("https://collector", Protocol::Http),
            "https://collector:4318/v1/traces"
        );
    }

    #[test]
    fn a_url_with_a_port_keeps_it() {
        assert_eq!(endpoint("https://collector:443", Protocol::Grpc), "https://collector:443");
    }

    #[test]
    fn an_http_url_without_a_path_gets_the_path_of_otlp() {
        for text in ["http://collector", "http://collector/"] {
            assert_eq!(endpoint(text, Protocol::Http), "http://collector:4318/v1/traces");
        }
    }

    #[test]
    fn an_http_url_with_a_path_is_used_as_it_is() {
        assert_eq!(
            endpoint("http://collector/otlp/v1/traces/", Protocol::Http),
            "http://collector:4318/otlp/v1/traces/"
        );
    }

    #[test]
    fn a_grpc_url_may_end_with_a_slash_and_has_no_path() {
        let url = "http://collector/".parse::<Url>().unwrap();

        assert_eq!(url.into_endpoint(Protocol::Grpc).unwrap().path, "");
    }

    #[test]
    fn a_grpc_url_with_a_path_is_refused() {
        let url = "http://collector:4317/v1/traces".parse::<Url>().unwrap();

        assert_eq!(
            url.into_endpoint(Protocol::Grpc),
            Err("must have no path with protocol grpc (with http it may)")
        );
    }

    #[test]
    fn an_ipv6_host_loses_its_brackets() {
        let url = "http://[fd00:0::1]:4317".parse::<Url>().unwrap();

        assert_eq!(url.host, "fd00::1");
        assert_eq!(url.port, Some(4317));
    }

    #[test]
    fn a_name_with_an_underscore_or_a_final_dot_is_a_host() {
        assert_eq!(
            endpoint("HTTP://otel_collector.ns.", Protocol::Grpc),
            "http://otel_collector.ns.:4317"
        );
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        for text in ["collector:4317", "collector", "grpc://collector:4317", "://x", "/v1/traces"] {
            assert_eq!(reason(text), "it is no http:// or https:// URL", "{text}");
        }
    }

    #[test]
    fn a_host_that_cannot_be_one_is_refused() {
        for text in
            ["http://:4317", "http://[::g]:1", "http://[::1%25eth0]", "http://a$b", "http://"]
        {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_that_is_none_is_refused_and_not_replaced() {
        for text in ["http://a:", "http://a:0", "http://a:65536", "http://a:99999", "http://a:x"] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_a_query_and_a_fragment_are_refused_without_being_shown() {
        assert_eq!(reason("http://me:hunter2@a"), "a user and password do not belong there");
        for text in ["http://a/?key=hunter2", "http://a/#hunter2"] {
            assert_eq!(reason(text), "a query or fragment has no meaning here");
        }
    }
}
