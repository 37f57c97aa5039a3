//! The everyday attribute, recognised at a glance.

/// Key of `KeyValue.key`, a string.
const KEY: u8 = 1 << 3 | 2;
/// Key of `KeyValue.value`, a message.
const VALUE: u8 = 2 << 3 | 2;
/// Keys of the members of `AnyValue`.
const STRING: u8 = 1 << 3 | 2;
const BOOL: u8 = 2 << 3;
const INT: u8 = 3 << 3;
const DOUBLE: u8 = 4 << 3 | 1;

/// Whether `bytes` is a `KeyValue` as nearly every one is written: an ASCII key, then a value that
/// is one ASCII string, bool, int or double, each length in one byte.
///
/// Such a one is well formed; whatever is not so needs the whole check.
#[inline]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let [KEY, key_length, rest @ ..] = bytes else { return false };
    let Some((key, value)) = rest.split_at_checked(usize::from(*key_length)) else { return false };
    let [VALUE, value_length, value @ ..] = value else { return false };
    // A length of 128 or more would be written in two bytes.
    if *key_length >= 0x80 || *value_length >= 0x80 || usize::from(*value_length) != value.len() {
        return false;
    }
    match value {
        // One pass over the whole: keys and lengths in it are below 128 too.
        [STRING, length, text @ ..] => usize::from(*length) == text.len() && bytes.is_ascii(),
        [BOOL, 0 | 1] => key.is_ascii(),
        [INT, varint @ ..] => is_varint(varint) && key.is_ascii(),
        [DOUBLE, double @ ..] => double.len() == 8 && key.is_ascii(),
        _ => false,
    }
}

/// Whether `bytes` is one varint of at most nine bytes; ten (a negative number) may hold too much.
#[inline]
fn is_varint(bytes: &[u8]) -> bool {
    match bytes {
        [first @ .., last] => {
            first.len() < 9 && *last < 0x80 && first.iter().all(|byte| *byte >= 0x80)
        }
        [] => false,
    }
}
