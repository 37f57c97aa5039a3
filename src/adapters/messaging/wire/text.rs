//! Short texts, nearly all of them ASCII.

const HIGH_BITS: u128 = u128::from_ne_bytes([0x80; 16]);

/// Whether `text` is ASCII, and so UTF-8 too.
///
/// Goes 16 bytes at a time, the last 16 overlapping those before. On the few dozen bytes of a key
/// or a value that takes half as long as the standard library's check, made for long texts.
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
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        return (first.iter().zip(last)).all(|(first, last)| (first | last).is_ascii());
    }
    text.is_ascii()
}
