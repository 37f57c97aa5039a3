//! A fast path for typical attributes.

use super::ascii::is_ascii;

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
#[inline]
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

/// Returns whether `bytes` is a typical `KeyValue`: fewer than 128 bytes, an ASCII key, then a
/// value that is one ASCII string, bool, int or double.
///
/// A plain attribute is well formed. Others may be well formed too and need the full check.
#[expect(clippy::inline_always, reason = "measured: most of a request is read here")]
#[inline(always)]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    // Within fewer than 128 bytes every valid length has one byte; the first byte of a longer one
    // is 128 or more and fails the checks below.
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
    // Key bytes and lengths are below 128 as well, so one check covers the key and a string value.
    bytes.get(..bytes.len() - binary).is_some_and(is_ascii)
}

/// Returns whether `bytes` is one varint of at most nine bytes; a tenth may overflow 64 bits.
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

#[cfg(test)]
mod tests {
    use super::super::fixtures::{bytes, message, varint};
    use super::*;

    fn attribute(key: &[u8], value: &[u8]) -> Vec<u8> {
        [bytes(1, key), bytes(2, value)].concat()
    }

    #[test]
    fn a_key_and_one_ascii_string_bool_int_or_double_is_plain() {
        let values: [&[u8]; 9] = [
            &[0x0a, 0x00],
            &[0x0a, 0x03, b'a', b'b', b'c'],
            &[0x10, 0x00],
            &[0x10, 0x01],
            &[0x18, 0x7f],
            &[0x18, 0x80, 0x01],
            &[0x18, 0x80, 0x80, 0x01],
            &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0x21, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ];
        for value in values {
            assert!(is_plain(&attribute(b"key", value)), "{value:02x?}");
            assert!(!is_plain(&attribute(b"k\xc3y", value)), "{value:02x?} with another key");
        }
    }

    #[test]
    fn any_other_value_is_not_plain() {
        let values: [&[u8]; 18] = [
            &[],
            &[0x0a],
            &[0x0a, 0x01],
            &[0x0a, 0x02, b'a'],
            &[0x0a, 0x01, b'a', b'b'],
            &[0x0a, 0x01, 0xc3],
            &[0x10],
            &[0x10, 0x02],
            &[0x10, 0x80, 0x01],
            &[0x18],
            &[0x18, 0x80],
            &[0x18, 0x01, 0x01],
            &[0x18, 0x80, 0x80],
            &[0x18, 0x80, 0x01, 0x01],
            &[0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            &[0x21, 0, 0, 0, 0, 0, 0, 0],
            &[0x21, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x3a, 0x01, b'a'],
        ];
        for value in values {
            assert!(!is_plain(&attribute(b"key", value)), "{value:02x?}");
        }
    }

    #[test]
    fn an_attribute_with_lengths_that_do_not_fit_is_not_plain() {
        let attributes: [&[u8]; 6] = [
            &[0x0a, 1, b'k', 0x12, 4, 0x0a, 1, b'a'],
            &[0x0a, 1, b'k', 0x12, 2, 0x0a, 1, b'a'],
            &[0x0a, 9, b'k', 0x12, 3, 0x0a, 1, b'a'],
            &[0x0a, 1, b'k', 0x12, 3, 0x0a, 1, b'a', 0x18, 0],
            &[0x0a, 1, b'k', 0x12],
            &[0x0a],
        ];
        for attribute in attributes {
            assert!(!is_plain(attribute), "{attribute:02x?}");
        }
    }

    #[test]
    fn an_attribute_of_128_bytes_is_not_plain_because_a_length_may_have_two() {
        let of = |length: usize| attribute(&vec![b'k'; length - 7], &[0x0a, 1, b'a']);

        assert!(is_plain(&of(0x7f)));
        assert!(!is_plain(&of(0x80)));
    }

    #[test]
    fn a_run_ends_before_a_field_of_another_number_or_form() {
        let plain = bytes(9, &attribute(b"key", &[0x10, 1]));
        let others = [
            bytes(8, &attribute(b"key", &[0x10, 1])),
            bytes(11, &attribute(b"key", &[0x10, 1])),
            message(9, &[]),
            varint(6, 1),
            vec![9 << 3 | 2],
            vec![9 << 3 | 2, 20, 0x0a],
        ];

        for other in others {
            let fields = [plain.clone(), plain.clone(), other.clone(), plain.clone()].concat();
            let left = skip_plain(&fields, 9 << 3 | 2);
            assert_eq!(left, [other, plain.clone()].concat());
        }
        assert!(skip_plain(&plain, 9 << 3 | 2).is_empty());
    }
}
