//! Cross-origin requests of web pages (Fetch standard, "CORS protocol").
//!
//! Browsers send telemetry to another origin only after that origin has consented, in the response
//! to a preflight, and show the page the response only if that consents, too. The consent decides
//! nothing else: a request of any origin is handled as one without an origin.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method};

use super::notation::origin::Origin;

/// How long a browser may remember the response to a preflight, in seconds; Chromium's maximum.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
/// Maximum length of the list of requested headers; those of exporters have a few dozen bytes.
const MAX_REQUESTED_HEADERS_BYTES: usize = 1 << 10;

/// The origins whose pages may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Every origin.
    Any,
    /// These origins.
    Listed(Vec<Origin>),
}

/// The page that sent a request, as far as its response depends on it.
#[derive(Debug)]
pub(super) struct Page {
    /// The request's origin if it is allowed; a copy, because the request's head is freed before its
    /// body is read.
    allowed_origin: Option<HeaderValue>,
}

impl AllowedOrigins {
    /// Returns the page that sent a request with these headers.
    pub(super) fn page(&self, headers: &HeaderMap) -> Page {
        let origin = headers.get(ORIGIN).filter(|origin| self.contains(origin));
        Page { allowed_origin: origin.and_then(copied) }
    }

    fn contains(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|each| each.as_str() == origin),
        }
    }
}

impl Page {
    /// Adds the consent to a response's headers, if the page may send.
    pub(super) fn allow(self, headers: &mut HeaderMap) {
        // Caches must not give one page's response to another.
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = self.allowed_origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            // `navigator.sendBeacon`, which exporters use, always sends with credentials; `*` in
            // place of the origin would not be valid then.
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            // Exporters wait as long as this says.
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
        }
    }

    /// Returns the headers of the response to a preflight; `None` if the request is not one, or the
    /// page may not send.
    pub(super) fn preflight(&self, method: &Method, requested: &HeaderMap) -> Option<HeaderMap> {
        preflight_origin(method, requested)?;
        let origin = self.allowed_origin.clone()?;
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        // Headers are not interpreted, so any may be sent.
        let names = requested.get(ACCESS_CONTROL_REQUEST_HEADERS);
        let names = names.filter(|names| names.len() <= MAX_REQUESTED_HEADERS_BYTES);
        if let Some(names) = names.and_then(copied) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        headers.insert(VARY, HeaderValue::from_static("access-control-request-headers"));
        Self { allowed_origin: Some(origin) }.allow(&mut headers);
        Some(headers)
    }
}

/// Returns the origin of the page for which a browser asks; `None` if the request is no preflight.
pub(super) fn preflight_origin<'a>(
    method: &Method,
    headers: &'a HeaderMap,
) -> Option<&'a HeaderValue> {
    let asks = method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    headers.get(ORIGIN).filter(|_| asks)
}

/// Returns a value that does not share the memory of a request's head.
fn copied(value: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "https://shop.example";

    fn listed() -> AllowedOrigins {
        AllowedOrigins::Listed(vec![
            SHOP.parse().unwrap(),
            "http://localhost:3000".parse().unwrap(),
        ])
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn consent(origins: &AllowedOrigins, origin: &str) -> HeaderMap {
        let mut response = HeaderMap::new();
        origins.page(&headers(&[("origin", origin)])).allow(&mut response);
        response
    }

    fn preflight(origins: &AllowedOrigins, pairs: &[(&'static str, &str)]) -> Option<HeaderMap> {
        let headers = headers(pairs);
        origins.page(&headers).preflight(&Method::OPTIONS, &headers)
    }

    #[test]
    fn a_listed_origin_is_allowed_and_others_are_not() {
        assert_eq!(consent(&listed(), SHOP)["access-control-allow-origin"], SHOP);
        for origin in ["https://shop.example:8443", "http://shop.example", "https://x", "null", ""]
        {
            let response = consent(&listed(), origin);
            assert!(!response.contains_key("access-control-allow-origin"), "{origin}");
            assert_eq!(response["vary"], "origin", "{origin}");
        }
    }

    #[test]
    fn any_origin_is_allowed_by_its_own_name() {
        for origin in [SHOP, "null", "http://[::1]:8080"] {
            let response = consent(&AllowedOrigins::Any, origin);

            assert_eq!(response["access-control-allow-origin"], origin);
            assert_eq!(response["access-control-allow-credentials"], "true");
            assert_eq!(response["access-control-expose-headers"], "retry-after");
        }
    }

    #[test]
    fn a_request_without_an_origin_gets_no_consent() {
        let mut response = HeaderMap::new();

        AllowedOrigins::Any.page(&HeaderMap::new()).allow(&mut response);

        assert_eq!(response, headers(&[("vary", "origin")]));
    }

    #[test]
    fn a_preflight_allows_post_with_the_requested_headers() {
        let asked = [
            ("origin", SHOP),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type,x-key"),
        ];

        let response = preflight(&listed(), &asked).unwrap();

        assert_eq!(response["access-control-allow-origin"], SHOP);
        assert_eq!(response["access-control-allow-methods"], "POST");
        assert_eq!(response["access-control-allow-headers"], "authorization,content-type,x-key");
        assert_eq!(response["access-control-max-age"], "7200");
        let vary: Vec<_> = response.get_all("vary").iter().collect();
        assert_eq!(vary, ["access-control-request-headers", "origin"]);
    }

    #[test]
    fn a_preflight_does_not_repeat_an_endless_list_of_headers() {
        let long = "a".repeat(MAX_REQUESTED_HEADERS_BYTES + 1);
        let asked = [
            ("origin", SHOP),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", &long),
        ];

        assert!(
            !preflight(&listed(), &asked).unwrap().contains_key("access-control-allow-headers")
        );
    }

    #[test]
    fn other_requests_are_no_preflights() {
        let post = ("access-control-request-method", "POST");

        assert!(preflight(&listed(), &[("origin", SHOP)]).is_none());
        assert!(preflight(&listed(), &[post]).is_none());
        assert!(preflight(&listed(), &[("origin", "https://other.example"), post]).is_none());
        let asked = headers(&[("origin", SHOP), post]);
        assert!(listed().page(&asked).preflight(&Method::POST, &asked).is_none());
    }
}
