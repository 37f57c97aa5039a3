//! The address of a destination, and its transport protocol.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the connection is encrypted (`https`).
    pub tls: bool,
    /// A DNS name or an IP address, without the brackets of an IPv6 one.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Request path of OTLP/HTTP, beginning with `/`. Empty for gRPC, whose path is fixed by the
    /// service definition.
    pub path: String,
}

/// An OTLP transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with binary protobuf.
    Http,
}

impl Endpoint {
    /// Returns `host:port` as in a URL, with an IPv6 address in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl Endpoint {
    /// Returns whether the host is this machine. Names are not resolved; only `localhost` is known.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_local_host(&self.host, Ipv4Addr::LOCALHOST.into())
    }

    /// Returns whether the endpoint is a listener of this machine on `address`. Names are not
    /// resolved; only `localhost` is known.
    #[must_use]
    pub fn reaches(&self, address: SocketAddr) -> bool {
        self.port == address.port() && is_local_host(&self.host, address.ip())
    }
}

impl Protocol {
    /// Returns the name of the transport as in the settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }

    /// Returns the name of the transport in texts.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Grpc => "OTLP/gRPC",
            Self::Http => "OTLP/HTTP",
        }
    }

    /// Returns the default port of this transport without TLS. With TLS it is 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Grpc => 4317,
            Self::Http => 4318,
        }
    }
}

/// Returns `host:port` as in a URL, with an IPv6 address in brackets.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// For logs and messages. Omits the path, because some vendors put an API key into it.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

fn is_local_host(host: &str, listener: IpAddr) -> bool {
    if let Ok(ip) = host.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        return ip.is_loopback() || ip.is_unspecified() || ip == listener.to_canonical();
    }
    // RFC 6761, section 6.3: every name under `localhost` resolves to a loopback address.
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(tls: bool, host: &str, path: &str) -> Endpoint {
        Endpoint { tls, host: host.into(), port: 4318, path: path.into() }
    }

    #[test]
    fn the_path_of_an_endpoint_is_not_shown() {
        assert_eq!(
            endpoint(true, "traces.example", "/key-123/v1/traces").to_string(),
            "https://traces.example:4318"
        );
        assert_eq!(endpoint(false, "10.0.0.1", "").to_string(), "http://10.0.0.1:4318");
    }

    #[test]
    fn an_ipv6_host_is_in_brackets_in_the_authority() {
        assert_eq!(endpoint(false, "fd00::1", "").authority(), "[fd00::1]:4318");
    }
}
