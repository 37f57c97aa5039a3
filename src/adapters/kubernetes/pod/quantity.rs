//! Quantities of Kubernetes, as far as comparing two needs them.

/// How many parts of one a quantity counts.
const PARTS: i128 = 1_000_000_000;
/// Digits of a fraction that count.
const FRACTION_DIGITS: usize = 9;

/// Returns a quantity such as `500m`, `0.5`, `1Gi` or `2e3` in billionths; `None` for what is none,
/// or out of all proportion.
pub(super) fn in_billionths(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'));
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || number.len() <= usize::from(number.contains('.')) {
        return None;
    }
    let fraction = format!("{fraction:0<FRACTION_DIGITS$.FRACTION_DIGITS$}");
    let billionths: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (times, parts) = factor(suffix)?;
    Some(billionths.checked_mul(times)? / parts)
}

/// Returns by what a suffix multiplies and divides.
fn factor(suffix: &str) -> Option<(i128, i128)> {
    let times = |times| Some((times, 1));
    let power = |base: i128, exponent| base.checked_pow(exponent).and_then(times);
    match suffix {
        "" => times(1),
        "n" => Some((1, PARTS)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1_000)),
        "k" => power(1000, 1),
        "M" => power(1000, 2),
        "G" => power(1000, 3),
        "T" => power(1000, 4),
        "P" => power(1000, 5),
        "E" => power(1000, 6),
        "Ki" => power(1024, 1),
        "Mi" => power(1024, 2),
        "Gi" => power(1024, 3),
        "Ti" => power(1024, 4),
        "Pi" => power(1024, 5),
        "Ei" => power(1024, 6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            Some(if exponent < 0 { (1, power) } else { (power, 1) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_counts_the_same() {
        for (one, other) in [
            ("1", "1000m"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.", "1"),
            ("1Ki", "1024"),
            ("1Gi", "1024Mi"),
            ("1G", "1000M"),
            ("2e3", "2k"),
            ("2E3", "2000"),
            ("5e-1", "500m"),
            ("100u", "0.1m"),
            ("1000000n", "1m"),
            ("1Ei", "1024Pi"),
            ("1P", "1000T"),
        ] {
            assert!(in_billionths(one).is_some(), "{one}");
            assert_eq!(in_billionths(one), in_billionths(other), "{one} {other}");
        }
    }

    #[test]
    fn more_is_more() {
        assert!(in_billionths("101m") > in_billionths("0.1"));
        assert_eq!(in_billionths("0"), Some(0));
    }

    #[test]
    fn what_is_no_quantity_has_no_size() {
        for text in [
            "",
            ".",
            "m",
            "1x",
            "1 ",
            "-1",
            "+1",
            "1.2.3",
            "1e",
            "1e99",
            "1mm",
            "é",
            "99999999999999999999999999999999999999",
        ] {
            assert_eq!(in_billionths(text), None, "{text}");
        }
    }
}
