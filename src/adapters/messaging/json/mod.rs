//! OTLP/JSON, converted to protobuf once, at the door.

mod bytes;
mod convert;
mod encode;
mod error;
mod number;
mod schema;

pub use error::MalformedJson;

/// Converts an `ExportTraceServiceRequest` from JSON to protobuf.
///
/// # Errors
///
/// [`MalformedJson`].
pub fn to_protobuf(json: &[u8]) -> Result<Vec<u8>, MalformedJson> {
    let text = std::str::from_utf8(json).map_err(|error| {
        MalformedJson::at(json, error.valid_up_to(), "found bytes that are not UTF-8".to_owned())
    })?;
    let body = text.trim_start_matches([' ', '\t', '\n', '\r']);
    if !body.starts_with('{') {
        return Err(MalformedJson::at(json, text.len() - body.len(), "not an object".to_owned()));
    }
    convert::Conversion::new(json.len()).run(text)
}

/// Returns the most bytes that a request of `json` bytes of JSON can become.
#[must_use]
pub const fn max_output(json: usize) -> usize {
    json.saturating_add(json / 4)
}
