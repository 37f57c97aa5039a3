//! Connections through an HTTP proxy (RFC 9110, section 9.3.6).

use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{CONTENT_TYPE, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::failure::error_chain;
use super::http_connection::PRODUCT;
use super::io_stream::IoStream;
use super::secrets::Secrets;
use crate::adapters::messaging::notation::proxy::Proxy;
use crate::domain::text::truncated;

/// Maximum head of a proxy's answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Maximum of its text that is shown.
const MAX_TEXT_CHARS: usize = 200;

/// Asks `proxy`, over the connection `stream`, for a connection to `authority`. Fails with the reason.
///
/// The caller sets the deadline.
pub(super) async fn open_tunnel(
    stream: Box<dyn IoStream>,
    proxy: &Proxy,
    authority: &str,
) -> Result<TokioIo<Upgraded>, String> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error_chain(&error))?;
    let request = connect_request(proxy, authority)?;
    let exchange = pin!(async move {
        let response = sender.send_request(request).await.map_err(|error| error_chain(&error))?;
        if !response.status().is_success() {
            return Err(refusal(proxy, response).await);
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| error_chain(&error))?;
        Ok(TokioIo::new(upgraded))
    });
    // The connection ends when it is handed over, which completes the exchange.
    match select(exchange, pin!(connection.with_upgrades())).await {
        Either::Left((result, _)) => result,
        Either::Right((_, exchange)) => exchange.await,
    }
}

fn connect_request(proxy: &Proxy, authority: &str) -> Result<Request<Empty<Bytes>>, String> {
    let invalid = |error: http::Error| error_chain(&error);
    let target = Uri::builder().authority(authority).build().map_err(invalid)?;
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(target)
        .version(Version::HTTP_11)
        .header(HOST, authority)
        .header(USER_AGENT, HeaderValue::from_static(PRODUCT))
        .body(Empty::new())
        .map_err(invalid)?;
    if let Some(authorization) = &proxy.authorization {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    Ok(request)
}

/// Describes a proxy's refusal: its status and text, and how to fix it if that is known.
async fn refusal(proxy: &Proxy, response: Response<Incoming>) -> String {
    let status = response.status();
    let secrets = proxy.authorization.as_ref().map(Secrets::of_value).unwrap_or_default();
    let text = first_text(response).await.map(|text| format!(": {}", secrets.hide_in(&text)));
    let text = text.unwrap_or_default();
    let remedy = match (status, &proxy.authorization) {
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, None) => {
            "; set a user and password in the proxy's URL"
        }
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Some(_)) => {
            "; check the user and password in the proxy's URL"
        }
        _ => "",
    };
    format!("it refused the connection with {status}{text}{remedy}")
}

/// Returns the beginning of an answer's text, quoted; `None` if there is none or it is a web page.
async fn first_text(response: Response<Incoming>) -> Option<String> {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|name| name.contains("html")) {
        return None;
    }
    let frame = response.into_body().frame().await?.ok()?;
    let text = String::from_utf8_lossy(frame.data_ref()?).trim().to_owned();
    (!text.is_empty()).then(|| format!("{:?}", truncated(&text, MAX_TEXT_CHARS)))
}
