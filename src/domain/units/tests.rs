//! Parsing and displaying sizes and durations.

use super::*;

fn size(text: &str) -> Result<u64, UnitError> {
    text.parse::<ByteSize>().map(|size| size.0)
}

fn time(text: &str) -> Result<Duration, UnitError> {
    text.parse::<Milliseconds>().map(Milliseconds::duration)
}

fn no_size_unit(unit: &str) -> Result<u64, UnitError> {
    Err(UnitError::UnknownSizeUnit(unit.to_owned()))
}

fn no_time_unit(unit: &str) -> Result<Duration, UnitError> {
    Err(UnitError::UnknownTimeUnit(unit.to_owned()))
}

#[test]
fn a_size_without_a_unit_is_in_bytes() {
    assert_eq!(size("1048576"), Ok(1_048_576));
    assert_eq!(size("0"), Ok(0));
    assert_eq!(size("12B"), Ok(12));
}

#[test]
fn binary_units_are_powers_of_1024() {
    assert_eq!(size("32Ki"), Ok(32 * 1024));
    assert_eq!(size("32Mi"), Ok(32 * 1024 * 1024));
    assert_eq!(size("2GiB"), Ok(2 * 1024 * 1024 * 1024));
}

#[test]
fn decimal_units_are_powers_of_1000() {
    for (text, bytes) in [
        ("5k", 5_000),
        ("5kB", 5_000),
        ("5KB", 5_000),
        ("64M", 64_000_000),
        ("64MB", 64_000_000),
        ("1G", 1_000_000_000),
        ("1GB", 1_000_000_000),
    ] {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
}

#[test]
fn a_fractional_size_is_rounded_down_to_whole_bytes() {
    assert_eq!(size("3.5Mi"), Ok(3_670_016));
    assert_eq!(size("0.25k"), Ok(250));
    assert_eq!(size("0.0009k"), Ok(0));
}

#[test]
fn white_space_around_a_size_is_ignored_but_not_within() {
    assert_eq!(size(" 32Mi\n"), Ok(32 << 20));
    assert_eq!(size("32 Mi"), no_size_unit(" Mi"));
}

#[test]
fn an_unknown_size_unit_is_named() {
    for unit in ["mib", "mi", "K", "Ti", "b", "MBB", "BB", "Mi5", "µ"] {
        assert_eq!(size(&format!("32{unit}")), no_size_unit(unit));
    }
}

#[test]
fn a_size_without_a_number_is_refused() {
    for text in ["", " ", "Mi", ".", ".5Mi", "1.Mi", "1.2.3Mi", "abc", "+1", "0.1234567891Mi"] {
        assert_eq!(size(text), Err(UnitError::NotANumber), "{text}");
    }
}

#[test]
fn a_negative_size_or_duration_is_called_negative() {
    assert_eq!(size("-1Mi"), Err(UnitError::Negative));
    assert_eq!(time("-1s"), Err(UnitError::Negative));
}

#[test]
fn the_largest_size_is_read_and_one_more_is_too_large() {
    assert_eq!(size("18446744073709551615"), Ok(u64::MAX));
    assert_eq!(size("18446744073709551616"), Err(UnitError::TooLarge));
    assert_eq!(size("17179869184Gi"), Err(UnitError::TooLarge));
    assert_eq!(size(&"9".repeat(400)), Err(UnitError::TooLarge));
}

#[test]
fn a_duration_has_one_or_several_units_in_descending_order() {
    for (text, milliseconds) in [
        ("500ms", 500),
        ("10s", 10_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("1h30m", 5_400_000),
        ("1h2m3s4ms", 3_723_004),
        ("1.5s", 1_500),
        ("0s", 0),
        (" 1s ", 1_000),
    ] {
        assert_eq!(time(text), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
}

#[test]
fn a_duration_without_a_unit_is_refused() {
    assert_eq!(time("10"), Err(UnitError::MissingTimeUnit));
    assert_eq!(time("1h30"), Err(UnitError::MissingTimeUnit));
}

#[test]
fn an_unknown_duration_unit_is_named() {
    assert_eq!(time("10sec"), no_time_unit("sec"));
    assert_eq!(time("10 s"), no_time_unit(" s"));
    assert_eq!(time("1d"), no_time_unit("d"));
    assert_eq!(time("5M"), no_time_unit("M"));
}

#[test]
fn duration_units_out_of_order_or_repeated_are_refused() {
    assert_eq!(time("30m1h"), Err(UnitError::UnitOrder));
    assert_eq!(time("1m1m"), Err(UnitError::UnitOrder));
}

#[test]
fn a_duration_without_a_number_is_refused() {
    for text in ["", "s", "1.s", "soon"] {
        assert_eq!(time(text), Err(UnitError::NotANumber), "{text}");
    }
}

#[test]
fn a_duration_beyond_the_largest_is_too_large() {
    assert_eq!(time("18446744073709551615ms"), Ok(Duration::from_millis(u64::MAX)));
    assert_eq!(time("18446744073709551615h"), Err(UnitError::TooLarge));
    assert_eq!(time("18446744073709551s1000ms"), Err(UnitError::TooLarge));
}

#[test]
fn a_size_is_shown_exactly_in_its_largest_unit() {
    for (bytes, text) in [
        (0, "0"),
        (999, "999"),
        (64_000_000, "62500Ki"),
        (5_000, "5k"),
        (32 << 20, "32Mi"),
        (3_670_016, "3584Ki"),
        (64 << 30, "64Gi"),
    ] {
        assert_eq!(ByteSize(bytes).to_string(), text);
        assert_eq!(size(text), Ok(bytes));
    }
}

#[test]
fn a_duration_is_shown_exactly_in_all_its_units() {
    for (milliseconds, text) in
        [(0, "0s"), (100, "100ms"), (90_000, "1m30s"), (3_723_004, "1h2m3s4ms")]
    {
        assert_eq!(Milliseconds(milliseconds).to_string(), text);
        assert_eq!(time(text), Ok(Duration::from_millis(milliseconds)));
    }
}
