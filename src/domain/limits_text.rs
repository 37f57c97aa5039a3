//! Buffer limits as text. The operator writes them to a pod's annotation, which the receiver reads as
//! a file.

use super::bounds::{MAX_AGE, MAX_BYTES, MAX_SPANS};
use super::limits::BufferLimits;
use super::text::quoted;
use super::units::{ByteSize, Milliseconds};

/// The value of `max_age` that disables expiry, whatever the receiver was started with.
const NONE: &str = "none";

/// The content of a limits file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedLimits {
    /// The limits, complete.
    pub limits: BufferLimits,
    /// Names that this version does not know, perhaps those of a later version.
    pub unknown_names: Vec<String>,
}

/// Parses the lines `max_spans=…`, `max_bytes=…` and `max_age=…`. Values have the syntax and bounds of
/// the receiver's settings of the same names; `max_age=none` disables expiry. A limit that is missing
/// or empty keeps its value in `boot`. Blank lines and lines that begin with `#` are ignored.
///
/// # Errors
///
/// The first invalid line, and what is allowed there.
pub fn parse(text: &str, boot: BufferLimits) -> Result<ParsedLimits, String> {
    let mut read = ParsedLimits { limits: boot, unknown_names: Vec::new() };
    for (number, line) in (1_u32..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) =
            line.split_once('=').ok_or_else(|| format!("line {number} must be name=value"))?;
        let (name, value) = (name.trim_end(), value.trim_start());
        read.set(name, value)
            .map_err(|why| format!("line {number}: {name} is {} but {why}", quoted(value)))?;
    }
    Ok(read)
}

/// Renders `limits` as a file that [`parse`] reads back unchanged, whatever `boot` is.
///
/// Running pods have this text in an annotation: a change of its format rewrites all of them.
#[must_use]
pub fn to_file(limits: &BufferLimits) -> String {
    let BufferLimits { max_spans, max_bytes, max_age: _ } = limits;
    format!("max_spans={max_spans}\nmax_bytes={max_bytes}\nmax_age={}\n", max_age(limits))
}

/// Renders `limits` in one line for a log.
#[must_use]
pub fn summary(limits: &BufferLimits) -> String {
    let BufferLimits { max_spans, max_bytes, max_age: _ } = limits;
    let max_bytes = ByteSize(max_bytes.get());
    format!("max_spans={max_spans} max_bytes={max_bytes} max_age={}", max_age(limits))
}

fn max_age(limits: &BufferLimits) -> String {
    limits.max_age.map_or_else(|| NONE.to_owned(), |age| Milliseconds::from(age).to_string())
}

impl ParsedLimits {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let limits = &mut self.limits;
        match name {
            "max_spans" => set_unless_empty(&mut limits.max_spans, value, |value| {
                let parsed = MAX_SPANS.parse_integer(value);
                parsed.map_err(|error| error.message(&MAX_SPANS.describe_integer()))
            }),
            "max_bytes" => set_unless_empty(&mut limits.max_bytes, value, |value| {
                let parsed = MAX_BYTES.parse_size(value);
                parsed.map_err(|error| error.message(&MAX_BYTES.describe_size()))
            }),
            "max_age" => set_unless_empty(&mut limits.max_age, value, |value| match value {
                NONE => Ok(None),
                _ => MAX_AGE.parse_duration(value).map(Some).map_err(|error| {
                    let why = error.message(&MAX_AGE.describe_duration());
                    format!("{why}, or {NONE}")
                }),
            }),
            unknown => {
                self.unknown_names.push(unknown.to_owned());
                Ok(())
            }
        }
    }
}

/// Replaces `limit` by the parsed `value`, unless `value` is empty.
fn set_unless_empty<T>(
    limit: &mut T,
    value: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<(), String> {
    if !value.is_empty() {
        *limit = parse(value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use super::*;

    fn limits(max_spans: u64, max_bytes: u64, max_age: Option<Duration>) -> BufferLimits {
        let positive = |number| NonZeroU64::new(number).unwrap();
        BufferLimits { max_spans: positive(max_spans), max_bytes: positive(max_bytes), max_age }
    }

    fn boot() -> BufferLimits {
        limits(100, 1 << 20, Some(Duration::from_mins(1)))
    }

    fn read(text: &str) -> ParsedLimits {
        parse(text, boot()).unwrap()
    }

    #[test]
    fn every_limit_can_be_set_in_the_syntax_of_the_settings() {
        let read = read("max_spans=5\n\n# to be tried\n max_bytes = 32Mi \nmax_age=1h30m\n");

        assert_eq!(read.limits, limits(5, 32 << 20, Some(Duration::from_mins(90))));
        assert!(read.unknown_names.is_empty());
    }

    #[test]
    fn a_missing_or_empty_limit_keeps_its_boot_value() {
        assert_eq!(read("").limits, boot());
        assert_eq!(read("max_spans=\nmax_bytes=\nmax_age=").limits, boot());
        assert_eq!(
            read("max_spans=5").limits,
            BufferLimits { max_spans: 5.try_into().unwrap(), ..boot() }
        );
    }

    #[test]
    fn max_age_none_disables_expiry() {
        assert_eq!(read("max_age=none").limits, BufferLimits { max_age: None, ..boot() });
    }

    #[test]
    fn an_unknown_name_is_skipped_and_returned() {
        let read = read("max_requests=5\nmax_spans=5");

        assert_eq!(read.limits.max_spans.get(), 5);
        assert_eq!(read.unknown_names, ["max_requests"]);
    }

    #[test]
    fn an_invalid_line_is_reported_with_the_allowed_values() {
        let wrong = |text| parse(text, boot()).unwrap_err();

        assert_eq!(wrong("max_spans=5\nmany"), "line 2 must be name=value");
        assert_eq!(
            wrong("max_spans=0"),
            "line 1: max_spans is \"0\" but must be a whole number from 1 to 1000000000"
        );
        assert!(wrong("max_bytes=32mib").contains("such as 32Mi"), "{}", wrong("max_bytes=32mib"));
        assert!(wrong("max_age=soon").ends_with(", or none"), "{}", wrong("max_age=soon"));
    }

    #[test]
    fn rendered_limits_are_parsed_back_unchanged() {
        for limits in [boot(), limits(5, 1_000_001, None)] {
            for text in [to_file(&limits), summary(&limits).replace(' ', "\n")] {
                assert_eq!(parse(&text, boot()).unwrap().limits, limits, "{text}");
            }
        }
    }

    #[test]
    fn the_file_has_exact_bytes_and_always_a_max_age() {
        let limits = limits(5, 65_536, Some(Duration::from_mins(90)));

        assert_eq!(to_file(&limits), "max_spans=5\nmax_bytes=65536\nmax_age=1h30m\n");
        assert_eq!(
            to_file(&BufferLimits { max_age: None, ..limits }),
            "max_spans=5\nmax_bytes=65536\nmax_age=none\n"
        );
    }

    #[test]
    fn a_long_invalid_value_is_cut() {
        let error = parse(&format!("max_spans={}", "x".repeat(4_000)), boot()).unwrap_err();

        assert!(error.len() < 200, "{error}");
    }
}
