//! Quantities as Kubernetes writes them: `64Mi`, `1.5Gi`, `100m`, `1e6`.

use std::fmt;

/// Maximum number of digits before the decimal point, without leading zeros; a number with more is
/// too large in any unit.
const MAX_WHOLE_DIGITS: usize = 20;
/// Digits kept after the decimal point; further digits can only round up.
const MAX_FRACTION_DIGITS: usize = 18;
/// The greatest power of ten that fits.
const MAX_EXPONENT: u32 = 18;

const BINARY: [(&str, u32); 6] =
    [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

/// Why a text is no quantity that counts something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuantityError {
    /// It does not begin with a number.
    NotANumber,
    /// It is below zero.
    Negative,
    /// There is no such suffix.
    UnknownSuffix(String),
    /// It is beyond 2^63-1.
    TooLarge,
}

/// What a suffix does to a number.
#[derive(Clone, Copy)]
enum Scale {
    Multiply(u128),
    Divide(u128),
}

/// A decimal number without its sign.
struct Decimal {
    whole: u128,
    fraction: u128,
    /// What the fraction is a part of: 10 to the power of its digits.
    denominator: u128,
    /// Whether digits were cut off that were not all zero.
    truncated: bool,
}

/// Returns the whole number, such as of bytes, that `text` stands for; fractions are rounded up,
/// as Kubernetes does.
///
/// # Errors
///
/// [`QuantityError`] if it is no quantity, negative, or too large.
pub fn parse_value(text: &str) -> Result<u64, QuantityError> {
    parse_scaled(text, 1)
}

/// Returns `text` in thousandths, as processors are counted.
///
/// # Errors
///
/// As of [`parse_value`].
pub fn parse_milli_value(text: &str) -> Result<u64, QuantityError> {
    parse_scaled(text, 1_000)
}

fn parse_scaled(text: &str, per_unit: u128) -> Result<u64, QuantityError> {
    let (sign, unsigned) = split_sign(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (digits, suffix) = unsigned.split_at(end);
    let number = Decimal::parse(digits)?;
    let scale = scale(suffix, number.is_zero())?;
    let value = number.scaled(scale, per_unit).ok_or(QuantityError::TooLarge)?;
    if sign == Some('-') && value > 0 {
        return Err(QuantityError::Negative);
    }
    let most = u128::from(i64::MAX.unsigned_abs());
    u64::try_from(value).ok().filter(|_| value <= most).ok_or(QuantityError::TooLarge)
}

fn split_sign(text: &str) -> (Option<char>, &str) {
    let sign = text.chars().next().filter(|c| matches!(c, '+' | '-'));
    (sign, text.get(usize::from(sign.is_some())..).unwrap_or(text))
}

fn scale(suffix: &str, is_zero: bool) -> Result<Scale, QuantityError> {
    if let Some((_, bits)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Ok(Scale::Multiply(1 << bits));
    }
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Ok(power(*exponent));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|digits| digits.parse::<i32>().ok());
    match exponent.ok_or_else(|| QuantityError::UnknownSuffix(suffix.to_owned()))? {
        _ if is_zero => Ok(Scale::Multiply(1)),
        large if large.unsigned_abs() > MAX_EXPONENT && large > 0 => Err(QuantityError::TooLarge),
        exponent => Ok(power(exponent)),
    }
}

/// Ten to the power of `exponent`; what is smaller than any part that counts rounds up alike.
const fn power(exponent: i32) -> Scale {
    let size = exponent.unsigned_abs();
    let size = if size > 2 * MAX_EXPONENT { 2 * MAX_EXPONENT } else { size };
    let power = 10_u128.pow(size);
    if exponent < 0 { Scale::Divide(power) } else { Scale::Multiply(power) }
}

impl Decimal {
    fn parse(text: &str) -> Result<Self, QuantityError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::NotANumber);
        }
        let whole = whole.trim_start_matches('0');
        if whole.len() > MAX_WHOLE_DIGITS {
            return Err(QuantityError::TooLarge);
        }
        let kept = fraction.get(..MAX_FRACTION_DIGITS).unwrap_or(fraction);
        let rest = fraction.get(kept.len()..).unwrap_or_default();
        Ok(Self {
            whole: digits(whole),
            fraction: digits(kept),
            denominator: kept.bytes().fold(1, |parts, _| parts * 10),
            truncated: rest.bytes().any(|digit| digit != b'0'),
        })
    }

    const fn is_zero(&self) -> bool {
        self.whole == 0 && self.fraction == 0 && !self.truncated
    }

    /// Returns the number in parts of `per_unit`, scaled and rounded up; `None` if it is too large.
    fn scaled(&self, scale: Scale, per_unit: u128) -> Option<u128> {
        let (times, over) = match scale {
            Scale::Multiply(times) => (times.checked_mul(per_unit)?, 1),
            Scale::Divide(over) => (per_unit, over),
        };
        let whole = self.whole.checked_mul(times)?;
        let fraction = self.fraction.checked_mul(times)?;
        let (more, rest) = (fraction / self.denominator, fraction % self.denominator);
        let total = whole.checked_add(more)?;
        let has_rest = self.truncated || rest != 0 || total % over != 0;
        (total / over).checked_add(u128::from(has_rest))
    }
}

/// Reads at most 20 digits, which always fit.
fn digits(text: &str) -> u128 {
    text.bytes().fold(0, |number, digit| number * 10 + u128::from(digit - b'0'))
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber => f.write_str("it does not begin with a number"),
            Self::Negative => f.write_str("it is negative"),
            Self::UnknownSuffix(suffix) => {
                write!(f, "there is no suffix {suffix:?} (Ki, Mi, Gi, k, M or G)")
            }
            Self::TooLarge => f.write_str("it is too large"),
        }
    }
}

impl std::error::Error for QuantityError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_suffix_is_a_plain_number() {
        for (text, value) in [("0", 0), ("33554432", 33_554_432), ("+7", 7), ("007", 7), ("5.", 5)]
        {
            assert_eq!(parse_value(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn suffixes_are_powers_of_1024_or_1000() {
        let expected = [
            ("1Ki", 1 << 10),
            ("32Mi", 32 << 20),
            ("1Gi", 1 << 30),
            ("1Ti", 1 << 40),
            ("1Pi", 1 << 50),
            ("1Ei", 1 << 60),
            ("1k", 1_000),
            ("2M", 2_000_000),
            ("3G", 3_000_000_000),
            ("1T", 1_000_000_000_000),
            ("1P", 1_000_000_000_000_000),
            ("1E", 1_000_000_000_000_000_000),
        ];
        for (text, value) in expected {
            assert_eq!(parse_value(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn a_decimal_point_may_be_anywhere() {
        assert_eq!(parse_value("1.5Gi"), Ok(1_610_612_736));
        assert_eq!(parse_value("3.5Mi"), Ok(3_670_016));
        assert_eq!(parse_value(".5Ki"), Ok(512));
        assert_eq!(parse_value("2.Ki"), Ok(2_048));
    }

    #[test]
    fn an_exponent_may_have_either_case_and_a_sign() {
        for text in ["1e3", "1E3", "1e+3", "10000e-1", "0.001e6"] {
            assert_eq!(parse_value(text), Ok(1_000), "{text}");
        }
    }

    #[test]
    fn a_fraction_is_rounded_up() {
        for text in ["0.1", "1m", "999m", "1000m", "1u", "1n", "1e-40", "0.0000000000000000000001"]
        {
            assert_eq!(parse_value(text), Ok(1), "{text}");
        }
        assert_eq!(parse_value("1.0000000000000000000001Ki"), Ok(1_025));
        assert_eq!(parse_value("1001m"), Ok(2));
    }

    #[test]
    fn cpus_are_counted_in_thousandths() {
        for (text, value) in
            [("1", 1_000), ("100m", 100), ("0.1", 100), ("0.0001", 1), ("1.5k", 1_500_000)]
        {
            assert_eq!(parse_milli_value(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn a_negative_number_is_refused_and_zero_is_not() {
        assert_eq!(parse_value("-1Mi"), Err(QuantityError::Negative));
        assert_eq!(parse_value("-0"), Ok(0));
    }

    #[test]
    fn a_text_that_is_not_a_number_is_refused() {
        for text in ["", "Mi", "-", "--1", "+-1", ".", "1.2.3", " 1", "ä"] {
            let error = parse_value(text).unwrap_err();
            assert!(
                matches!(error, QuantityError::NotANumber | QuantityError::UnknownSuffix(_)),
                "{text:?}: {error:?}"
            );
        }
    }

    #[test]
    fn an_unknown_suffix_is_named() {
        for suffix in ["mi", "MB", "KB", "K", "MiB", "e", "e1.5", "e3Mi", " Mi", "Mi "] {
            assert_eq!(
                parse_value(&format!("1{suffix}")),
                Err(QuantityError::UnknownSuffix(suffix.into()))
            );
        }
    }

    #[test]
    fn the_largest_is_two_to_the_63rd_less_one() {
        assert_eq!(parse_value("9223372036854775807"), Ok(i64::MAX.unsigned_abs()));
        for text in
            ["9223372036854775808", "8Ei", "10E", "1e19", "1e99999", "123456789012345678901"]
        {
            assert_eq!(parse_value(text), Err(QuantityError::TooLarge), "{text}");
        }
        assert_eq!(parse_value("0e99999"), Ok(0));
    }
}
