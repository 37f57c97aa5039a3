//! Requests that hold no spans.

use super::*;

#[tokio::test]
async fn a_request_without_spans_names_what_it_holds_instead() {
    let logs = br#"{"resourceLogs":[{"scopeLogs":[]}]}"#;
    let old = br#"{"resourceSpans":[{"instrumentationLibrarySpans":[{"spans":[{}]}]}]}"#;
    for (body, seen) in [
        (&logs[..], "only \"resourceLogs\"; this receiver takes only traces, no logs"),
        (br#"{"resource_metrics":[]}"#, "OTEL_METRICS_EXPORTER=none"),
        (br#"{"data":[{"traceId":"1"}],"more":1}"#, "only \"data\", \"more\"; spans belong"),
        (old, "only \"instrumentationLibrarySpans\""),
        (br#"{"resourceSpans":[{"scopeSpans":[{"span":{}}]}]}"#, "only \"span\""),
    ] {
        let handler = FakeReceiver::accepting().handler(LIMIT);

        send(&handler, request(JSON, ScriptedBody::pieces([body]))).await;

        let (_, request) = handler.receiver.calls.lock().received.pop().unwrap();
        let misdirected = request.misdirected.unwrap();
        assert!(misdirected.contains(seen), "{misdirected}");
    }
}

#[tokio::test]
async fn empty_envelopes_and_requests_with_spans_hold_nothing_else() {
    for json in [
        "{}",
        r#"{"resourceSpans":null}"#,
        r#"{"resourceSpans":[{"resource":{"new":1},"scopeSpans":[{"scope":{}}],"schemaUrl":"u"}]}"#,
        &JSON_SPAN.replace("\"traceId", "\"new\":1,\"traceId"),
        &JSON_SPAN.replacen('{', "{\"new\":1,", 1),
    ] {
        let handler = FakeReceiver::accepting().handler(LIMIT);

        send(&handler, request(JSON, ScriptedBody::pieces([json]))).await;

        assert_eq!(handler.receiver.calls.lock().received[0].1.misdirected, None, "{json}");
    }
}
