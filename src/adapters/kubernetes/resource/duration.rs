//! A duration in a spec.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::rules;
use crate::domain::units::Milliseconds;

/// Maximum number of parts of a duration.
const MAX_PARTS: usize = 4;
/// Maximum number of digits of a part.
const MAX_DIGITS: usize = 5;

/// A duration such as `1h30m` in the format of
/// [GEP-2257](https://gateway-api.sigs.k8s.io/geps/gep-2257/).
///
/// Stored as text, so that an invalid duration is reported with the name of its field instead of
/// making the whole object undecodable.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct DurationString(
    /// The text.
    pub String,
);

/// The text is not a duration in the format of GEP-2257.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidDuration;

impl DurationString {
    /// Returns the length of the duration. Units may be in any order and repeated, as in Go.
    ///
    /// # Errors
    ///
    /// [`InvalidDuration`] if the text is not in the format of GEP-2257.
    pub fn to_milliseconds(&self) -> Result<Milliseconds, InvalidDuration> {
        let mut rest = self.0.as_str();
        let mut total = 0;
        for _ in 0..MAX_PARTS {
            let (milliseconds, remaining) = parse_part(rest).ok_or(InvalidDuration)?;
            total += milliseconds;
            if remaining.is_empty() {
                return Ok(Milliseconds(total));
            }
            rest = remaining;
        }
        Err(InvalidDuration)
    }
}

/// Reads a number and its unit. Returns the milliseconds and the remaining text.
fn parse_part(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits)?;
    if !(1..=MAX_DIGITS).contains(&digits) {
        return None;
    }
    // `ms` must be tried before `m`.
    let units = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let (remaining, factor) =
        units.iter().find_map(|(unit, factor)| Some((rest.strip_prefix(unit)?, factor)))?;
    Some((number.parse::<u64>().ok()? * factor, remaining))
}

impl fmt::Display for InvalidDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a duration has one to four whole numbers of at most five digits, each \
             followed by h, m, s or ms",
        )
    }
}

impl std::error::Error for InvalidDuration {}

impl JsonSchema for DurationString {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        rules::duration_schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> Result<u64, InvalidDuration> {
        DurationString(text.into()).to_milliseconds().map(|length| length.0)
    }

    #[test]
    fn valid_durations_have_the_same_length_as_in_go() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("10s", 10_000),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("1h1m1s1ms", 3_661_001),
            ("1s1h", 3_601_000),
            ("1m1m", 120_000),
            ("007s", 7_000),
            ("99999h99999h99999h99999h", 4 * 99_999 * 3_600_000),
        ] {
            assert_eq!(length(text), Ok(milliseconds), "{text}");
        }
    }

    #[test]
    fn invalid_durations_are_rejected() {
        for text in [
            "",
            "0",
            "10",
            "s",
            "1.5s",
            "-1s",
            "+1s",
            "1d",
            "1 s",
            " 1s",
            "1s ",
            "1S",
            "100000s",
            "1h1m1s1ms1h",
            "1us",
            "1ns",
            "1h1",
            "ms",
            "1é",
            "١s",
        ] {
            assert_eq!(length(text), Err(InvalidDuration), "{text:?}");
        }
    }
}
