//! Decoding of bytes, which are hexadecimal or base64 in JSON.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// "Either standard or URL-safe base64 encoding with/without paddings are accepted" (`ProtoJSON`).
/// Leftover bits in the last character are ignored, as its conformance suite requires.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Appends the bytes that `text` encodes in hexadecimal, upper or lower case.
///
/// Returns `None` for any other character and for an odd number of digits.
pub(super) fn put_hex(out: &mut Vec<u8>, text: &str) -> Option<()> {
    let (pairs, []) = text.as_bytes().as_chunks() else {
        return None;
    };
    for [high, low] in pairs {
        out.push(hex_digit(*high)? << 4 | hex_digit(*low)?);
    }
    Some(())
}

/// Appends the bytes that `text` encodes in base64, in either alphabet, padded or not.
pub(super) fn put_base64(out: &mut Vec<u8>, text: &str) -> Option<()> {
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    engine.decode_vec(text, out).ok()
}

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        put_hex(&mut out, text).map(|()| out)
    }

    fn base64(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        put_base64(&mut out, text).map(|()| out)
    }

    #[test]
    fn hexadecimal_digits_of_either_case_are_read() {
        assert_eq!(hex("00aAfF"), Some(vec![0, 0xaa, 0xff]));
        assert_eq!(hex(""), Some(vec![]));
    }

    #[test]
    fn half_a_byte_and_other_characters_are_not_hexadecimal() {
        for text in ["0", "abc", "0g", "g0", "0x", " 00", "0\u{660}", "zz", "@@", "``", "//", "::"]
        {
            assert_eq!(hex(text), None, "{text}");
        }
    }

    #[test]
    fn base64_is_read_in_both_alphabets_with_and_without_padding() {
        for text in ["+/8=", "+/8", "-_8=", "-_8"] {
            assert_eq!(base64(text), Some(vec![0xfb, 0xff]), "{text}");
        }
        assert_eq!(base64(""), Some(vec![]));
    }

    #[test]
    fn trailing_bits_in_base64_are_ignored() {
        assert_eq!(base64("-_"), Some(vec![0xfb]));
    }

    #[test]
    fn other_characters_mixed_alphabets_and_half_bytes_are_not_base64() {
        for text in ["+_8=", "A", "AA=A", "AA AA", "AA\n", "é", "====", "AAA=="] {
            assert_eq!(base64(text), None, "{text}");
        }
    }
}
