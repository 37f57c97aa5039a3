//! The everyday attribute, recognised at a glance.

use super::text::is_ascii;

/// The key byte of `KeyValue.key`.
const KEY: u8 = 1 << 3 | 2;
/// The key byte of `KeyValue.value`.
const VALUE: u8 = 2 << 3 | 2;
/// The key bytes of the members of `AnyValue`.
const STRING: u8 = 1 << 3 | 2;
const BOOL: u8 = 2 << 3;
const INT: u8 = 3 << 3;
const DOUBLE: u8 = 4 << 3 | 1;

/// Skips the fields with key `key` that hold plain attributes, up to the first that does not.
#[expect(clippy::inline_always, reason = "measured: most of a request is read by this loop")]
#[inline(always)]
pub(super) fn skip_plain(mut bytes: &[u8], key: u64) -> &[u8] {
    while let [first, length, rest @ ..] = bytes
        && u64::from(*first) == key
        && let Some((attribute, after)) = rest.split_at_checked(usize::from(*length))
        && is_plain(attribute)
    {
        bytes = after;
    }
    bytes
}

/// Whether `bytes` is a `KeyValue` as nearly all are: fewer than 128 bytes, an ASCII key, then a
/// value that is one ASCII string, bool, int or double.
///
/// Such a one is well formed. What is not like that may be well formed too: it needs the whole
/// check.
#[expect(clippy::inline_always, reason = "measured, as `skip_plain`")]
#[inline(always)]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    // In fewer than 128 bytes, a first byte of a length is the length, or else does not fit.
    if bytes.len() >= 0x80 {
        return false;
    }
    let [KEY, key_length, rest @ ..] = bytes else { return false };
    let Some((_, [VALUE, value_length, value @ ..])) =
        rest.split_at_checked(usize::from(*key_length))
    else {
        return false;
    };
    if usize::from(*value_length) != value.len() {
        return false;
    }
    let binary = match value {
        [STRING, length, text @ ..] if usize::from(*length) == text.len() => 0,
        [BOOL, 0 | 1] => 0,
        [INT, varint @ ..] if is_varint(varint) => varint.len(),
        [DOUBLE, double @ ..] if double.len() == 8 => double.len(),
        _ => return false,
    };
    // Keys and lengths are below 128 as well, so one look serves the key and a string.
    bytes.get(..bytes.len() - binary).is_some_and(is_ascii)
}

/// Whether `bytes` is one varint; not of ten bytes, because the tenth may hold too much.
#[inline]
fn is_varint(bytes: &[u8]) -> bool {
    match bytes {
        [last] => *last < 0x80,
        [first, last] => *first >= 0x80 && *last < 0x80,
        [first @ .., last] => {
            first.len() < 9 && *last < 0x80 && first.iter().all(|byte| *byte >= 0x80)
        }
        [] => false,
    }
}
