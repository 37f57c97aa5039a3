//! HTTP proxies: their URLs, and which hosts are reached without one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

use super::endpoint::authority;

/// An HTTP proxy that opens connections by CONNECT.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Whether the connection to the proxy itself is encrypted (`https`).
    pub tls: bool,
    /// A DNS name or an IP address, without the brackets of an IPv6 one.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The value of `proxy-authorization`, from the user and password of the URL.
    pub authorization: Option<HeaderValue>,
}

/// Why a text is not the URL of a usable proxy. Contains no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// The URL is malformed or has another scheme.
    NotHttp,
    /// The URL is that of a SOCKS proxy.
    Socks,
}

impl Proxy {
    /// Returns `host:port` as in a URL, with an IPv6 address in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    /// Parses a URL such as `http://user:password@proxy:3128`. As elsewhere, `http://` may be
    /// omitted, and the port defaults to that of the scheme.
    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let any = Uri::from_static("https://destination.invalid");
        let proxy = Matcher::builder().all(text.trim()).build().intercept(&any);
        let proxy = proxy.ok_or(ProxyError::NotHttp)?;
        let tls = match proxy.uri().scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(ProxyError::Socks),
        };
        let host = proxy.uri().host().filter(|host| !host.is_empty()).ok_or(ProxyError::NotHttp)?;
        let port = proxy.uri().port();
        let has_port = proxy.uri().authority().is_some_and(|all| all.as_str().len() > host.len());
        let port = match port.map(|port| port.as_u16()) {
            Some(port) if port != 0 => port,
            None if !has_port && tls => 443,
            None if !has_port => 80,
            _ => return Err(ProxyError::NotHttp),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { tls, host, port, authorization: proxy.basic_auth().cloned() })
    }
}

/// For logs and messages. Omits the user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&self.to_string()).finish_non_exhaustive()
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "must be the URL of an HTTP proxy, such as http://proxy:3128",
            Self::Socks => "must be the URL of an HTTP proxy; SOCKS proxies are not supported",
        })
    }
}

impl std::error::Error for ProxyError {}

/// Returns whether a host is reached without the proxy of the environment, whatever its exceptions
/// are: it is this machine, a name without a dot, or a name of the cluster.
#[must_use]
pub fn is_local(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let is_within = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    !host.contains('.') || ["localhost", "svc", "cluster.local"].into_iter().any(is_within)
}

/// Returns whether a list of exceptions (`NO_PROXY`) holds a host.
///
/// Its entries are separated by commas or spaces: `*`, a name (which includes the names under it,
/// with or without a leading `.` or `*.`), an address, or a network such as `10.0.0.0/8`. One with a
/// port is only for that port. Unknown entries are ignored.
#[must_use]
pub fn is_excepted(no_proxy: &str, host: &str, port: u16) -> bool {
    let entries = no_proxy.split(|c: char| c == ',' || c.is_whitespace());
    let entries = entries.filter_map(|entry| exception(entry, port));
    let matcher = Matcher::builder().all("http://proxy").no(entries.collect::<Vec<_>>().join(","));
    let host = host.trim_end_matches('.');
    let url = Uri::builder().scheme("https").authority(authority(host, port)).path_and_query("/");
    url.build().is_ok_and(|url| matcher.build().intercept(&url).is_none())
}

/// Returns an entry in the form that the matcher knows; `None` if it is for another port.
fn exception(entry: &str, port: u16) -> Option<&str> {
    let mut name = entry;
    if entry.parse::<IpAddr>().is_err()
        && let Some((before, of)) = entry.rsplit_once(':')
        && let Ok(of) = of.parse::<u16>()
    {
        if of != port {
            return None;
        }
        name = before;
    }
    let name = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    Some(if name.starts_with("*.") { name.trim_start_matches('*') } else { name })
}

#[cfg(test)]
mod tests;
