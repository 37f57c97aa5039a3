//! Whether a request comes from a program on this machine, and not from a web page that a browser on this
//! machine shows.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri};

/// Returns whether the peer is this machine and every name in the request means it too.
///
/// A page of another site can make a browser send requests to this machine. The browser then names the
/// site in `Origin`, or, if the site's name was made to resolve to this machine (DNS rebinding), in
/// `Host`.
pub(super) fn is_from_this_machine(peer: IpAddr, headers: &HeaderMap) -> bool {
    peer.to_canonical().is_loopback()
        && headers.contains_key(HOST)
        && headers.get_all(HOST).iter().all(|host| parsed(host).is_some_and(|it| is_local(&it)))
        && headers.get_all(ORIGIN).iter().all(is_local_origin)
}

fn is_local_origin(origin: &HeaderValue) -> bool {
    // A page without an origin of its own sends `null`, which has no authority.
    let origin = parsed::<Uri>(origin);
    origin.as_ref().and_then(Uri::authority).is_some_and(is_local)
}

fn parsed<T: std::str::FromStr>(value: &HeaderValue) -> Option<T> {
    value.to_str().ok()?.parse().ok()
}

/// Returns whether an authority, with or without a port, is this machine by every resolver's rules.
fn is_local(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_local_name = || host.eq_ignore_ascii_case("localhost");
    let is_local_host =
        address.map_or_else(|_| is_local_name(), |ip| ip.to_canonical().is_loopback());
    is_local_host && !authority.as_str().contains('@')
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn is_accepted(peer: IpAddr, headers: &[(http::HeaderName, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        is_from_this_machine(peer, &headers.collect())
    }

    #[test]
    fn a_request_from_this_machine_to_this_machine_is_accepted() {
        let hosts =
            ["localhost", "LocalHost:9417", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:9417"];
        for host in hosts {
            assert!(is_accepted(HERE, &[(HOST, host)]), "{host}");
        }
        assert!(is_accepted(Ipv6Addr::LOCALHOST.into(), &[(HOST, "localhost")]));
        assert!(is_accepted("::ffff:127.0.0.1".parse().unwrap(), &[(HOST, "localhost")]));
    }

    #[test]
    fn another_peer_is_refused_whatever_it_claims() {
        assert!(!is_accepted("10.0.0.7".parse().unwrap(), &[(HOST, "localhost")]));
    }

    #[test]
    fn a_host_that_is_not_this_machine_is_refused() {
        let hosts = [
            "",
            "evil.example",
            "evil.example:9417",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.7",
            "[::2]",
            "0.0.0.0",
            "x@localhost",
            "local host",
            "2130706433",
        ];
        for host in hosts {
            assert!(!is_accepted(HERE, &[(HOST, host)]), "{host}");
        }
        assert!(!is_accepted(HERE, &[]));
        assert!(!is_accepted(HERE, &[(HOST, "localhost"), (HOST, "evil.example")]));
    }

    #[test]
    fn a_page_of_another_site_is_refused() {
        for origin in ["http://evil.example", "https://evil.example:9417", "null", "", "file://"] {
            assert!(!is_accepted(HERE, &[(HOST, "localhost"), (ORIGIN, origin)]), "{origin}");
        }
        for origin in ["http://localhost:9417", "http://127.0.0.1:3000", "https://[::1]"] {
            assert!(is_accepted(HERE, &[(HOST, "localhost"), (ORIGIN, origin)]), "{origin}");
        }
    }
}
