//! The proxy variables that programs have in common.

use std::fmt;

use http::Uri;

use super::reader::EnvLookup;
use crate::adapters::messaging::notation::proxy::{Proxy, ProxyError, is_excepted, is_local};

const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A variable whose value is not the URL of a usable proxy.
pub(in crate::cli) type InvalidProxyVariable = (&'static str, ProxyError);

/// The proxy variables of an environment.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct ProxyVariables {
    https: Option<(&'static str, String)>,
    http: Option<(&'static str, String)>,
    no_proxy: String,
}

impl ProxyVariables {
    /// Reads the variables; of two spellings, the one in upper case takes precedence.
    pub(in crate::cli) fn read(environment: EnvLookup<'_>) -> Self {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                let value = environment(name)?.to_string_lossy().trim().to_owned();
                (!value.is_empty()).then_some((name, value))
            })
        };
        let no_proxy = first(EXCEPTIONS).map(|(_, value)| value).unwrap_or_default();
        Self { https: first(HTTPS), http: first(HTTP), no_proxy }
    }

    /// Returns whether `url` is that of the proxy for `https`.
    pub(in crate::cli) fn is_https_proxy(&self, url: &str) -> bool {
        let parsed = |text: &str| text.parse::<Uri>().ok();
        self.https.as_ref().is_some_and(|(_, https)| parsed(https) == parsed(url))
    }

    /// Returns the proxy to a host; `None` for a direct connection.
    ///
    /// # Errors
    ///
    /// There is one, but it cannot be used. A proxy that would not be used is not looked at.
    pub(in crate::cli) fn proxy(
        &self,
        tls: bool,
        host: &str,
        port: u16,
    ) -> Result<Option<Proxy>, InvalidProxyVariable> {
        let variable = if tls { &self.https } else { &self.http };
        let Some((name, url)) = variable else { return Ok(None) };
        if is_local(host) || is_excepted(&self.no_proxy, host, port) {
            return Ok(None);
        }
        url.parse().map(Some).map_err(|error| (*name, error))
    }
}

/// Omits the values, which may contain passwords.
impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyVariables").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)], tls: bool, host: &str) -> String {
        let environment = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).into())
        };
        match ProxyVariables::read(&environment).proxy(tls, host, 4317) {
            Ok(proxy) => proxy.map_or_else(|| "direct".to_owned(), |proxy| proxy.to_string()),
            Err((name, error)) => format!("{name} {error}"),
        }
    }

    const BOTH: [(&str, &str); 2] = [("HTTPS_PROXY", "http://s:1"), ("http_proxy", "http://p:2")];

    #[test]
    fn the_scheme_decides_which_variable_applies() {
        assert_eq!(proxy(&BOTH, true, "traces.example"), "http://s:1");
        assert_eq!(proxy(&BOTH, false, "traces.example"), "http://p:2");
        assert_eq!(proxy(&BOTH[..1], false, "traces.example"), "direct");
        assert_eq!(proxy(&[], true, "traces.example"), "direct");
        let others = [("ALL_PROXY", "http://a:1"), ("HTTPS_PROXY", ""), ("https_proxy", "l:3")];
        assert_eq!(proxy(&others, true, "traces.example"), "http://l:3");
        assert_eq!(proxy(&others, false, "traces.example"), "direct");
    }

    #[test]
    fn local_and_excepted_hosts_are_reached_directly() {
        let [https, http] = BOTH;
        for exceptions in ["NO_PROXY", "no_proxy"] {
            let variables = [https, http, (exceptions, "corp.example,10.0.0.0/8")];
            for host in ["traces.corp.example", "10.1.1.1", "collector", "c.ns.svc", "127.0.0.1"] {
                assert_eq!(proxy(&variables, true, host), "direct", "{host}");
            }
            assert_eq!(proxy(&variables, true, "traces.example"), "http://s:1");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_only_where_it_would_be_used() {
        let variables = [("HTTPS_PROXY", "socks5://u:hunter2@proxy"), ("HTTP_PROXY", "ftp://x")];

        let socks = proxy(&variables, true, "traces.example");
        assert_eq!(
            socks,
            "HTTPS_PROXY must be the URL of an HTTP proxy; SOCKS proxies are not supported"
        );
        assert!(proxy(&variables, false, "traces.example").starts_with("HTTP_PROXY must be"));
        assert_eq!(proxy(&variables, true, "c.ns.svc"), "direct");
    }
}
