//! Hand-encoded requests for tests.

/// A varint field.
pub(super) fn varint(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// A field of eight bytes.
pub(super) fn fixed64(number: u8) -> Vec<u8> {
    vec![number << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// A string, bytes or message field of fewer than 128 bytes.
pub(super) fn bytes(number: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 0x80 && number < 16, "keys and lengths have one byte here");
    [&[number << 3 | 2, length], payload].concat()
}

/// A string, bytes or message field whose length always takes two bytes.
pub(super) fn long(number: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let [low, high] = [(length & 0x7f) as u8 | 0x80, u8::try_from(length >> 7).unwrap()];
    assert!(high < 0x80 && number < 16, "keys have one byte here, and lengths two");
    [&[number << 3 | 2, low, high], payload].concat()
}

/// A message field that holds `fields`.
pub(super) fn message(number: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    bytes(number, &fields.concat())
}

/// The fields of a valid span, marked by `id`.
pub(super) fn span_fields(id: u8) -> Vec<u8> {
    [bytes(1, &[id; 16]), bytes(2, &[id; 8])].concat()
}

/// A valid span, as a field of `ScopeSpans`.
pub(super) fn span(id: u8) -> Vec<u8> {
    bytes(2, &span_fields(id))
}

/// An invalid span, as a field of `ScopeSpans`: it has no ids.
pub(super) fn invalid_span() -> Vec<u8> {
    bytes(2, &[])
}

/// A `ScopeSpans`, as a field of `ResourceSpans`.
pub(super) fn scope(fields: &[Vec<u8>]) -> Vec<u8> {
    message(2, fields)
}

/// A `ResourceSpans`, as a field of the request.
pub(super) fn resource(fields: &[Vec<u8>]) -> Vec<u8> {
    message(1, fields)
}

/// A request with one span that has valid ids followed by `fields`.
pub(super) fn request_with(fields: &[Vec<u8>]) -> Vec<u8> {
    let span = message(2, &[span_fields(1), fields.concat()]);
    resource(&[scope(&[span])])
}

/// A request with one span that has one attribute, whose value has `fields`.
pub(super) fn request_with_value(fields: &[Vec<u8>]) -> Vec<u8> {
    request_with(&[message(9, &[bytes(1, b"key"), message(2, fields)])])
}
