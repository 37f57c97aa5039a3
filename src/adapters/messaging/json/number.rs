//! Conversion of numbers, which are decimal in JSON, quoted or not.

use std::borrow::Cow;

use super::encode::{self, WireType};
use super::schema::NumberKind;

/// Maximum digits of an integer that fits into 64 bits.
const MAX_DIGITS: usize = 20;

/// The parts of a JSON number: ± `whole` . `fraction` × 10^`exponent`.
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// Parses `text` if all of it is a JSON number (RFC 8259 §6).
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, rest) = split_digits(rest);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("0", rest),
        };
        let (exponent, rest) = match rest.strip_prefix(['e', 'E']) {
            Some(rest) => parse_exponent(rest)?,
            None => (0, rest),
        };
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        let valid = !whole.is_empty() && !leading_zero && !fraction.is_empty() && rest.is_empty();
        valid.then_some(Self { negative, whole, fraction, exponent })
    }
}

/// Writes field `number` with the value of `json`, the text of a JSON number or string.
///
/// Returns `None` if the value is not valid for the kind.
pub(super) fn put_number(
    out: &mut Vec<u8>,
    number: u32,
    kind: NumberKind,
    json: &str,
) -> Option<()> {
    let text = unquote(json)?;
    let quoted = json.starts_with('"');
    match kind {
        NumberKind::Enum if quoted => return None,
        NumberKind::Double => {
            let value = parse_double(&text).or_else(|| parse_special_double(&text))?;
            put_fixed(out, number, WireType::Fixed64, &value.to_le_bytes());
        }
        NumberKind::Fixed64 => {
            let value = u64::try_from(parse_integer(&text)?).ok()?;
            put_fixed(out, number, WireType::Fixed64, &value.to_le_bytes());
        }
        NumberKind::Fixed32 => {
            let value = u32::try_from(parse_integer(&text)?).ok()?;
            put_fixed(out, number, WireType::Fixed32, &value.to_le_bytes());
        }
        NumberKind::Uint32 => {
            put_varint(out, number, u32::try_from(parse_integer(&text)?).ok()?.into());
        }
        NumberKind::Int64 => {
            put_varint(out, number, i64::try_from(parse_integer(&text)?).ok()?.cast_unsigned());
        }
        NumberKind::Int32 | NumberKind::Enum => {
            let value = i64::from(i32::try_from(parse_integer(&text)?).ok()?);
            put_varint(out, number, value.cast_unsigned());
        }
    }
    Some(())
}

/// Returns the text of a JSON number, or the content of a JSON string.
fn unquote(json: &str) -> Option<Cow<'_, str>> {
    match json.strip_prefix('"') {
        None => Some(Cow::Borrowed(json)),
        Some(_) if json.contains('\\') => serde_json::from_str(json).ok().map(Cow::Owned),
        Some(quoted) => quoted.strip_suffix('"').map(Cow::Borrowed),
    }
}

fn put_fixed(out: &mut Vec<u8>, number: u32, wire_type: WireType, bytes: &[u8]) {
    encode::put_tag(out, number, wire_type);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, number: u32, value: u64) {
    encode::put_tag(out, number, WireType::Varint);
    encode::put_varint(out, value);
}

/// Parses an integer in any JSON notation, `1e3` and `1.0` included, without rounding.
///
/// Returns `None` if `text` is not a number, has a fraction, or has more than 20 digits.
fn parse_integer(text: &str) -> Option<i128> {
    let number = Decimal::parse(text)?;
    let fraction = number.fraction.trim_end_matches('0');
    let whole = match fraction {
        "" => number.whole.trim_end_matches('0'),
        _ => number.whole,
    };
    let dropped = i64::try_from(number.whole.len() - whole.len()).ok()?;
    let scale = number.exponent + dropped - i64::try_from(fraction.len()).ok()?;
    let digits = || whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
    let significant = digits().take(MAX_DIGITS + 1).count();
    if significant == 0 {
        return Some(0);
    }
    let zeros =
        u32::try_from(scale).ok().filter(|zeros| *zeros as usize + significant <= MAX_DIGITS)?;
    let magnitude = digits().fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let magnitude = magnitude * 10_i128.pow(zeros);
    Some(if number.negative { -magnitude } else { magnitude })
}

/// Parses a number, rounded to the nearest double.
///
/// Returns `None` if `text` is not a number or exceeds the largest double.
fn parse_double(text: &str) -> Option<f64> {
    Decimal::parse(text)?;
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Parses the names that `ProtoJSON` defines for doubles that JSON numbers cannot express.
fn parse_special_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Parses an exponent. One beyond 32 bits is clamped, which makes no difference: no request has
/// enough digits to bring such a number back into range.
fn parse_exponent(text: &str) -> Option<(i64, &str)> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, rest) = split_digits(rest);
    if digits.is_empty() {
        return None;
    }
    Some((sign * i64::from(digits.parse().unwrap_or(i32::MAX)), rest))
}

/// Splits `text` after the ASCII digits it begins with.
fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_every_form_that_json_has_for_them() {
        let forms = [
            ("0", 0),
            ("-0", 0),
            ("7", 7),
            ("-7", -7),
            ("1.0", 1),
            ("100000.000", 100_000),
            ("1e3", 1_000),
            ("1E+3", 1_000),
            ("1.5e1", 15),
            ("0.00012e5", 12),
            ("1200e-2", 12),
            ("0e99999999999999999999", 0),
            ("0.000e-99999999999999999999", 0),
            ("10000000000000000000000000e-20", 100_000),
        ];
        for (text, value) in forms {
            assert_eq!(parse_integer(text), Some(value), "{text}");
        }
    }

    #[test]
    fn integers_are_not_rounded() {
        assert_eq!(parse_integer("9223372036854775807.0"), Some(i128::from(i64::MAX)));
        assert_eq!(parse_integer("1844674407370955161.5e1"), Some(i128::from(u64::MAX)));
        assert_eq!(parse_integer("1.0000000000000000000000001"), None);
    }

    #[test]
    fn fractions_and_numbers_beyond_twenty_digits_are_not_integers() {
        let forms = [
            "0.5",
            "1e-1",
            "1.5",
            "123456789012345678901",
            "1e536870000",
            "1e99999999999999999999",
        ];
        for text in forms {
            assert_eq!(parse_integer(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_json_number_is_none() {
        let forms = [
            "",
            "-",
            "+1",
            "01",
            "-01",
            ".5",
            "5.",
            "1e",
            "1e+",
            "e1",
            "0x10",
            "1_000",
            " 1",
            "1 ",
            "12 34",
            "12,34",
            "12abc",
            "abc",
            "--1",
            "1.2.3",
            "1e1e1",
            "inf",
            "nan",
            "infinity",
            "NaN",
            "true",
            "١٢٣",
            "１２３",
        ];
        for text in forms {
            assert_eq!((parse_integer(text), parse_double(text)), (None, None), "{text}");
        }
    }

    #[test]
    fn doubles_are_read_to_the_nearest() {
        assert_eq!(parse_double("0.1"), Some(0.1));
        assert_eq!(parse_double("-2.22507e-308"), Some(-2.22507e-308));
        assert_eq!(parse_double("1.79769e+308"), Some(1.79769e+308));
        assert_eq!(parse_double("179769313486231570000e288"), Some(f64::MAX));
        assert_eq!(parse_double("5e-324"), Some(5e-324));
        assert_eq!(parse_double("-0.0").map(f64::to_bits), Some((-0.0_f64).to_bits()));
    }

    #[test]
    fn a_number_beyond_the_largest_double_is_none() {
        assert_eq!(parse_double("1.89769e+308"), None);
        assert_eq!(parse_double("-1e309"), None);
    }
}
