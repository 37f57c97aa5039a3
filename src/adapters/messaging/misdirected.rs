//! Requests that hold no span but something else: what a sender is told about them.

use super::json::UnknownKeys;
use super::other_signal::OtherSignal;
use super::wire;
use crate::domain::text::quoted;

/// Describes what a request in protobuf holds instead of valid spans; `None` for empty envelopes.
///
/// Expects a request that [`wire::scan`] accepts.
pub(super) fn in_protobuf(request: &[u8]) -> Option<String> {
    if let Some(signal) = wire::other_signal(request) {
        return Some(signal.to_string());
    }
    let fields = wire::unknown_fields(request);
    (!fields.is_empty()).then(|| format!("the request holds no spans, only {}", fields.join(", ")))
}

/// Describes what a request in JSON holds instead of spans; `None` for empty envelopes.
pub(super) fn in_json(keys: &UnknownKeys) -> Option<String> {
    let keys = keys.as_slice();
    if keys.is_empty() {
        return None;
    }
    let seen = keys.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(", ");
    let signal = keys.iter().find_map(|key| OtherSignal::of_key(key));
    let remedy = signal.map_or_else(
        || "spans belong into resourceSpans[].scopeSpans[].spans[]".to_owned(),
        |signal| signal.to_string(),
    );
    Some(format!("the request holds no spans, only {seen}; {remedy}"))
}

/// Says which signal a request belongs to that cannot be decoded as one of traces, or nothing.
pub(super) fn hint(request: &[u8]) -> String {
    wire::other_signal(request).map_or_else(String::new, |signal| format!("; {signal}"))
}
