//! Heads of requests as HPACK writes them, never compressed, so that their size is known.

/// What RFC 9113 counts for a field beyond its name and value.
pub(crate) const FIELD_OVERHEAD: usize = 32;
/// What the pseudo-fields and the content type of a request count, roughly.
const REQUEST_BYTES: usize = 400;
const TINY_NAME_BYTES: usize = 3;

/// Which service a request calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Grpc,
    Http,
}

/// What an attacker puts into a head or into trailers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filling {
    /// Fields with different names of three bytes and without values.
    Tiny,
    /// The same name again and again.
    Same,
    /// One field with one long value.
    Long,
    /// Fields of 60 bytes that enter the dynamic table.
    Indexed,
}

/// The fields of a POST that sends traces. `encoding` is that of the body.
pub(crate) fn post(call: Call, encoding: &str) -> Vec<u8> {
    // `:method: POST` and `:scheme: http` of the static table.
    let mut block = vec![0x83, 0x86];
    let (path, kind, encoding_name) = match call {
        Call::Grpc => (
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            "application/grpc",
            "grpc-encoding",
        ),
        Call::Http => ("/v1/traces", "application/x-protobuf", "content-encoding"),
    };
    literal(&mut block, ":path", path);
    literal(&mut block, ":authority", "a");
    literal(&mut block, "content-type", kind);
    literal(&mut block, encoding_name, encoding);
    block
}

/// The fields of a GET.
pub(crate) fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    literal(&mut block, ":path", path);
    literal(&mut block, ":authority", "a");
    block
}

/// A field that does not enter the dynamic table.
pub(crate) fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0x00);
    string(block, name);
    string(block, value);
}

/// So much of `filling` that a request of it fits into a header list of `list_bytes`.
pub(crate) fn filling(filling: Filling, list_bytes: usize) -> Vec<u8> {
    let room = list_bytes.saturating_sub(REQUEST_BYTES);
    let mut block = Vec::new();
    match filling {
        Filling::Tiny => {
            for number in 0..room / (FIELD_OVERHEAD + TINY_NAME_BYTES) {
                literal(&mut block, &tiny_name(number), "");
            }
        }
        Filling::Same => {
            for _ in 0..room / (FIELD_OVERHEAD + 1) {
                literal(&mut block, "x", "");
            }
        }
        Filling::Long => {
            literal(&mut block, "x", &"y".repeat(room.saturating_sub(FIELD_OVERHEAD + 1)));
        }
        Filling::Indexed => {
            for number in 0..room / (FIELD_OVERHEAD + 60) {
                // With incremental indexing.
                block.push(0x40);
                string(&mut block, &tiny_name(number));
                string(&mut block, &"z".repeat(57));
            }
        }
    }
    block
}

fn tiny_name(number: usize) -> String {
    let letter = |index: usize| char::from(b'a' + u8::try_from(index % 26).unwrap_or_default());
    ['x', letter(number / 26), letter(number)].into_iter().collect()
}

/// A string without Huffman coding: its length with a prefix of 7 bits, and its bytes.
fn string(block: &mut Vec<u8>, text: &str) {
    const PREFIX: usize = 0x7f;
    match text.len().checked_sub(PREFIX) {
        None => block.push(text.len() as u8),
        Some(mut rest) => {
            block.push(PREFIX as u8);
            while rest >= 0x80 {
                block.push((rest % 0x80) as u8 | 0x80);
                rest /= 0x80;
            }
            block.push(rest as u8);
        }
    }
    block.extend_from_slice(text.as_bytes());
}
