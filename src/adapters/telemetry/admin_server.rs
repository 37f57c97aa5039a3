//! The admin port of every process: health and metrics, and what a process shows beside.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::exposition::Exposition;
use crate::adapters::server::HttpService;

/// Content type of what is for people.
pub(super) const TEXT_PLAIN: &str = "text/plain; charset=utf-8";

/// What a process shows on its admin port.
pub(super) trait AdminPages: Send + Sync + 'static {
    /// Which pages there are.
    const OVERVIEW: &'static str;
    /// Those that are answered to this machine only.
    const LOCAL_PATHS: &'static [&'static str];
    /// Those that do something, and want POST.
    const POST_PATHS: &'static [&'static str];

    /// Returns what it is not ready for want of, each in one line; nothing while it is ready.
    fn unready_reasons(&self) -> Vec<String>;

    /// Returns its metrics.
    fn exposition(&self) -> Exposition;

    /// Returns a page that only this process has.
    fn page(&self, path: &str) -> Option<Response<Full<Bytes>>>;
}

/// Answers on the admin port.
pub struct AdminService<P> {
    pages: Arc<P>,
}

impl<P> AdminService<P> {
    /// Shows `pages`.
    #[must_use]
    pub const fn new(pages: Arc<P>) -> Self {
        Self { pages }
    }
}

impl<P> Clone for AdminService<P> {
    fn clone(&self) -> Self {
        Self { pages: Arc::clone(&self.pages) }
    }
}

impl<P: AdminPages> HttpService for AdminService<P> {
    type Body = Full<Bytes>;

    async fn handle(&self, peer: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        handle(&*self.pages, peer, request.method(), path, request.headers())
    }
}

pub(super) fn handle<P: AdminPages>(
    pages: &P,
    peer: IpAddr,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Response<Full<Bytes>> {
    let wanted = if P::POST_PATHS.contains(&path) { Method::POST } else { Method::GET };
    let is_head = method == Method::HEAD && wanted == Method::GET;
    if *method != wanted && !is_head {
        return not_allowed(&wanted);
    }
    if P::LOCAL_PATHS.contains(&path) && !peer.to_canonical().is_loopback() {
        return reply(StatusCode::FORBIDDEN, TEXT_PLAIN, "answered to this machine only\n");
    }
    match path {
        "/" => reply(StatusCode::OK, TEXT_PLAIN, P::OVERVIEW),
        "/live" => reply(StatusCode::OK, TEXT_PLAIN, "live\n"),
        "/ready" => ready(&pages.unready_reasons()),
        "/metrics" => metrics(pages, headers),
        _ => pages.page(path).unwrap_or_else(|| {
            let text = format!("nothing here; see\n\n{}", P::OVERVIEW);
            reply(StatusCode::NOT_FOUND, TEXT_PLAIN, text)
        }),
    }
}

fn ready(missing: &[String]) -> Response<Full<Bytes>> {
    if missing.is_empty() {
        return reply(StatusCode::OK, TEXT_PLAIN, "ready\n");
    }
    let lines: String = missing.iter().flat_map(|line| [line, "\n"]).collect();
    reply(StatusCode::SERVICE_UNAVAILABLE, TEXT_PLAIN, lines)
}

fn metrics<P: AdminPages>(pages: &P, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    pages.exposition().encode_for_accept(accept).map_or_else(
        |_| reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT_PLAIN, "the metrics cannot be written\n"),
        |(kind, text)| reply(StatusCode::OK, kind, text),
    )
}

fn not_allowed(wanted: &Method) -> Response<Full<Bytes>> {
    let text = format!("only {wanted} is answered here\n");
    let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT_PLAIN, text);
    let allow = if *wanted == Method::GET { "GET, HEAD" } else { "POST" };
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

pub(super) fn reply(
    code: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
