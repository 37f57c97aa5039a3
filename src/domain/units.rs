//! Sizes and durations as text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Maximum number of digits after a decimal point.
const MAX_FRACTION_DIGITS: usize = 9;

type Unit = (&'static str, u64);

/// Units of a size without their final `B`, largest first of each family.
const SIZE_UNITS: [Unit; 7] = [
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
    ("", 1),
];

/// Units of a duration in milliseconds, largest first.
const TIME_UNITS: [Unit; 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A number of bytes.
///
/// Reads `1048576`, `32Mi`, `3.5MiB`, `64MB`: Ki, Mi and Gi are powers of 1024, k, M and G powers
/// of 1000, each with or without a final `B`. A fraction of a byte is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(
    /// Bytes.
    pub u64,
);

/// A duration in whole milliseconds.
///
/// Reads `500ms`, `10s`, `1.5s`, `1h30m`: h, m, s and ms, largest first. A fraction of a
/// millisecond is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milliseconds(
    /// Milliseconds.
    pub u64,
);

/// Why a text is not a size or a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// A number is missing.
    NotANumber,
    /// The number is negative.
    Negative,
    /// The unit of a size is unknown.
    UnknownSizeUnit(String),
    /// The unit of time is unknown.
    UnknownTimeUnit(String),
    /// A number has no unit of time.
    MissingTimeUnit,
    /// The units of time are not in descending order, or one is repeated.
    UnitOrder,
    /// The value does not fit into 64 bits.
    TooLarge,
}

impl Milliseconds {
    /// Converts to the type of the standard library.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Duration> for Milliseconds {
    /// Cuts off a fraction of a millisecond; a longer time than can be counted becomes the longest.
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split_number(text.trim())?;
        let bytes = size_unit(unit).ok_or_else(|| UnitError::UnknownSizeUnit(unit.to_owned()))?;
        scaled(number, bytes).map(Self)
    }
}

impl FromStr for Milliseconds {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let mut rest = text.trim();
        let mut total = 0_u64;
        let mut units = TIME_UNITS.as_slice();
        loop {
            let (number, unit_and_rest) = split_number(rest)?;
            let (unit, after) = split_unit(unit_and_rest);
            let (milliseconds, smaller) = time_unit(unit, units)?;
            let part = scaled(number, milliseconds)?;
            total = total.checked_add(part).ok_or(UnitError::TooLarge)?;
            if after.is_empty() {
                return Ok(Self(total));
            }
            (rest, units) = (after, smaller);
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS.iter().find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit));
        let (name, unit) = exact.unwrap_or(&("", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut left = self.0;
        for (name, unit) in TIME_UNITS {
            if left >= unit {
                write!(f, "{}{name}", left / unit)?;
                left %= unit;
            }
        }
        Ok(())
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber => f.write_str("a number is missing"),
            Self::Negative => f.write_str("it is negative"),
            Self::UnknownSizeUnit(unit) => {
                write!(f, "there is no unit {unit:?} (Ki, Mi, Gi, k, M or G, with or without B)")
            }
            Self::UnknownTimeUnit(unit) => write!(f, "there is no unit {unit:?} (h, m, s or ms)"),
            Self::MissingTimeUnit => f.write_str("its unit is missing (h, m, s or ms)"),
            Self::UnitOrder => f.write_str("its units must come largest first, each once"),
            Self::TooLarge => f.write_str("it is too large"),
        }
    }
}

impl std::error::Error for UnitError {}

/// Splits off the leading digits and decimal points of `text`.
fn split_number(text: &str) -> Result<(&str, &str), UnitError> {
    if text.starts_with('-') {
        return Err(UnitError::Negative);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    match text.split_at(end) {
        ("", _) => Err(UnitError::NotANumber),
        parts => Ok(parts),
    }
}

/// Splits off everything before the next digit.
fn split_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len()))
}

fn size_unit(unit: &str) -> Option<u64> {
    // `KB` is as common as the correct `kB`. A plain `K` means 1024 to some people, so it is refused.
    let unit = if unit == "KB" { "kB" } else { unit };
    let name = unit.strip_suffix('B').unwrap_or(unit);
    SIZE_UNITS.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

/// Finds `unit` in `units`; returns its milliseconds, and the units that may follow it.
fn time_unit<'a>(unit: &str, units: &'a [Unit]) -> Result<(u64, &'a [Unit]), UnitError> {
    let is_named = |(name, _): &Unit| *name == unit;
    let mut left = units.iter();
    match left.find(|known| is_named(known)) {
        Some((_, milliseconds)) => Ok((*milliseconds, left.as_slice())),
        None if unit.is_empty() => Err(UnitError::MissingTimeUnit),
        None if TIME_UNITS.iter().any(is_named) => Err(UnitError::UnitOrder),
        None => Err(UnitError::UnknownTimeUnit(unit.to_owned())),
    }
}

/// Returns `number`, a decimal fraction, times `unit`, rounded down.
fn scaled(number: &str, unit: u64) -> Result<u64, UnitError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.len() > MAX_FRACTION_DIGITS {
        return Err(UnitError::NotANumber);
    }
    let scale = fraction.bytes().fold(1, |scale, _| scale * 10);
    let unit = u128::from(unit);
    let value = digits(whole)? * unit + digits(fraction)? * unit / scale;
    u64::try_from(value).map_err(|_| UnitError::TooLarge)
}

/// Parses decimal digits.
fn digits(text: &str) -> Result<u128, UnitError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UnitError::NotANumber);
    }
    text.parse::<u64>().map(u128::from).map_err(|_| UnitError::TooLarge)
}

#[cfg(test)]
mod tests;
