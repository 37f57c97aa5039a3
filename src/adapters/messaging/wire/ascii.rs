//! A fast ASCII check for short texts.

const HIGH_BITS: u128 = u128::from_ne_bytes([0x80; 16]);

/// Returns whether `text` is ASCII, and therefore UTF-8 too.
///
/// Checks 16 bytes at a time; the last 16 may overlap those before. For the few dozen bytes of a
/// key or a value this takes half the time of the standard library's check, which is optimized for
/// long texts.
#[expect(clippy::inline_always, reason = "measured: a call costs as much as the check")]
#[inline(always)]
pub(super) fn is_ascii(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<16>() else { return is_short_ascii(text) };
    let mut bits = u128::from_ne_bytes(*last);
    let mut left = text;
    while let Some((chunk, rest)) = left.split_first_chunk::<16>() {
        bits |= u128::from_ne_bytes(*chunk);
        left = rest;
    }
    bits & HIGH_BITS == 0
}

#[inline]
fn is_short_ascii(text: &[u8]) -> bool {
    let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) else {
        return text.iter().all(u8::is_ascii);
    };
    let bits = u64::from_ne_bytes(*first) | u64::from_ne_bytes(*last);
    u128::from(bits) & HIGH_BITS == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_ascii_unless_one_of_its_bytes_is_not() {
        for length in 0..70 {
            let mut text = vec![0x7f; length];
            assert!(is_ascii(&text), "{length} bytes");

            for position in 0..length {
                text[position] = 0x80;
                assert!(!is_ascii(&text), "byte {position} of {length}");
                text[position] = 0x00;
            }
        }
    }
}
