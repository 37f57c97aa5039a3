//! Requests of web pages.

use super::*;

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_ask_and_send_and_read_errors() {
    let origins = Some(AllowedOrigins::Listed(vec!["https://shop.example".parse().unwrap()]));
    let handler = ExportHandler { origins, ..FakeReceiver::accepting().handler(LIMIT) };
    let from_page = |request| with(request, "origin", "https://shop.example");
    let preflight = |path: &str| {
        let mut asking = with(at(path, protobuf(b"")), "access-control-request-method", "POST");
        *asking.method_mut() = Method::OPTIONS;
        from_page(asking)
    };

    for path in ["/v1/traces", "/", "/v1/logs"] {
        let response = send(&handler, preflight(path)).await;
        assert_eq!((response.status, response.body.len()), (204, 0), "{path}");
        assert_eq!(response.headers["access-control-allow-origin"], "https://shop.example");
    }
    assert_eq!(send(&handler, preflight("/elsewhere")).await.status, 404);
    for (request, status) in [
        (protobuf(&one_span()), 200),
        (protobuf(&[0xff]), 400),
        (at("/v1/logs", protobuf(b"")), 404),
        (protobuf(&[0; LIMIT + 1]), 413),
        (request("text/plain", ScriptedBody::pieces([""])), 415),
    ] {
        let response = send(&handler, from_page(request)).await;
        assert_eq!(response.status, status);
        assert_eq!(response.headers["access-control-allow-origin"], "https://shop.example");
        assert_eq!(response.headers["vary"], "origin");
    }
}

#[tokio::test]
async fn without_allowed_origins_a_preflight_is_refused_and_no_response_mentions_them() {
    let mut asking = with(protobuf(b""), "access-control-request-method", "POST");
    *asking.method_mut() = Method::OPTIONS;

    for (request, status) in [(asking, 405), (protobuf(&one_span()), 200)] {
        let request = with(request, "origin", "https://shop.example");
        let response = send(&FakeReceiver::accepting().handler(LIMIT), request).await;

        assert_eq!(response.status, status);
        if status == 405 {
            let message = response.protobuf().message;
            assert!(message.contains("TRACEBUFFER_CORS_ALLOWED_ORIGINS"), "{message}");
            assert!(message.contains("\"https://shop.example\""), "{message}");
        }

        assert!(!response.headers.keys().any(|name| name.as_str().starts_with("access-control")));
        assert!(!response.headers.contains_key("vary"));
    }
}
