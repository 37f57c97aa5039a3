//! The admin port of every process: health, metrics, and pages of the process.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::exposition::Exposition;
use super::same_machine::is_from_this_machine;
use crate::adapters::server::{HttpService, Peer, RequestBody};

/// Content type of pages for people.
pub(super) const TEXT_PLAIN: &str = "text/plain; charset=utf-8";

/// The pages of a process on its admin port.
pub(super) trait AdminPages: Send + Sync + 'static {
    /// The list of pages, served at `/`.
    const OVERVIEW: &'static str;
    /// Paths that are served to clients on this machine only.
    const LOCAL_PATHS: &'static [&'static str];
    /// Paths that have an effect and require POST.
    const POST_PATHS: &'static [&'static str];

    /// Returns the reasons why the process is not ready, one line each; empty if it is ready.
    fn unready_reasons(&self) -> Vec<String>;

    /// Returns the current metrics.
    fn exposition(&self) -> Exposition;

    /// Returns the page at `path`, if this process has one beside the common pages.
    fn page(&self, path: &str) -> Option<Response<Full<Bytes>>>;
}

/// Serves the admin port.
pub struct AdminService<P> {
    pages: Arc<P>,
}

impl<P> AdminService<P> {
    /// Creates a service for `pages`.
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

    async fn handle(&self, peer: Peer, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        let (mut head, _) = request.into_parts();
        // HTTP/2, and HTTP/1.1 with an absolute URL, name the host in another place.
        if let Some(host) = head.uri.authority().and_then(|it| it.as_str().parse().ok()) {
            head.headers.append(HOST, host);
        }
        handle(&*self.pages, peer.ip, &head.method, head.uri.path(), &head.headers)
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
    if P::LOCAL_PATHS.contains(&path) && !is_from_this_machine(peer, headers) {
        return reply(
            StatusCode::FORBIDDEN,
            TEXT_PLAIN,
            "only available on this machine, as localhost\n",
        );
    }
    match path {
        "/" => reply(StatusCode::OK, TEXT_PLAIN, P::OVERVIEW),
        "/live" => reply(StatusCode::OK, TEXT_PLAIN, "live\n"),
        "/ready" => ready(&pages.unready_reasons()),
        "/metrics" => metrics(pages, headers),
        _ => pages.page(path).unwrap_or_else(|| {
            let text = format!("no such page; see\n\n{}", P::OVERVIEW);
            reply(StatusCode::NOT_FOUND, TEXT_PLAIN, text)
        }),
    }
}

fn ready(reasons: &[String]) -> Response<Full<Bytes>> {
    if reasons.is_empty() {
        return reply(StatusCode::OK, TEXT_PLAIN, "ready\n");
    }
    let lines: String = reasons.iter().flat_map(|line| [line, "\n"]).collect();
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
    let text = format!("only {wanted} is allowed here\n");
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
