//! Limits as a text of `name=value` lines: what a running receiver is told through a file.

use std::num::NonZeroU64;

use super::table as t;
use crate::cli::settings::kinds::ValueKind;
use crate::cli::settings::{AnySetting, Setting};
use crate::domain::limits::BufferLimits;
use crate::domain::units::{ByteSize, Milliseconds};

/// The value of `max_age` that keeps spans until room is needed, whatever was set at the start.
const NONE: &str = "none";

/// What such a text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParsedLimits {
    pub(crate) limits: BufferLimits,
    /// Names that have no meaning here, perhaps those of a later version.
    pub(crate) unknown_names: Vec<String>,
}

/// Reads the lines `max_spans=…`, `max_bytes=…` and `max_age=…`, whose values are those of the
/// settings of these names, or `max_age=none`. `boot` holds for what is missing or empty; blank lines
/// and those that begin with `#` say nothing.
///
/// # Errors
///
/// The first line that is wrong, and what is allowed there.
pub(crate) fn parse(text: &str, boot: BufferLimits) -> Result<ParsedLimits, String> {
    let mut read = ParsedLimits { limits: boot, unknown_names: Vec::new() };
    for (number, line) in (1_u32..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) =
            line.split_once('=').ok_or_else(|| format!("line {number} must be name=value"))?;
        let (name, value) = (name.trim_end(), value.trim_start());
        read.set(name, value)
            .map_err(|why| format!("line {number}: {name} is {value:?} but {why}"))?;
    }
    Ok(read)
}

/// Writes limits as [`parse`] reads them, on one line.
pub(crate) fn render(limits: &BufferLimits) -> String {
    let BufferLimits { max_spans, max_bytes, max_age } = limits;
    let max_age = max_age.map_or_else(
        || NONE.to_owned(),
        |age| Milliseconds(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)).to_string(),
    );
    format!("max_spans={max_spans} max_bytes={} max_age={max_age}", ByteSize(max_bytes.get()))
}

impl ParsedLimits {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let limits = &mut self.limits;
        match name {
            "max_spans" => set_unless_empty(&mut limits.max_spans, value, |value| {
                parse_setting(&t::MAX_SPANS, value).map(NonZeroU64::from)
            }),
            "max_bytes" => set_unless_empty(&mut limits.max_bytes, value, |value| {
                parse_setting(&t::MAX_BYTES, value)
            }),
            "max_age" => set_unless_empty(&mut limits.max_age, value, |value| match value {
                NONE => Ok(None),
                _ => parse_setting(&t::MAX_AGE, value).map_err(|why| format!("{why}, or {NONE}")),
            }),
            unknown => {
                self.unknown_names.push(unknown.to_owned());
                Ok(())
            }
        }
    }
}

/// Replaces a limit by what `value` says, unless it says nothing.
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

fn parse_setting<K: ValueKind>(setting: &Setting<K>, value: &str) -> Result<K::Value, String> {
    setting.kind.parse(value).map_err(|refusal| refusal.message(&setting.allowed()))
}

#[cfg(test)]
mod tests {
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
    fn what_is_missing_or_empty_is_as_at_the_start() {
        assert_eq!(read("").limits, boot());
        assert_eq!(read("max_spans=\nmax_bytes=\nmax_age=").limits, boot());
        assert_eq!(
            read("max_spans=5").limits,
            BufferLimits { max_spans: 5.try_into().unwrap(), ..boot() }
        );
    }

    #[test]
    fn an_age_can_be_taken_away() {
        assert_eq!(read("max_age=none").limits, BufferLimits { max_age: None, ..boot() });
    }

    #[test]
    fn an_unknown_name_is_passed_over_and_told() {
        let read = read("max_requests=5\nmax_spans=5");

        assert_eq!(read.limits.max_spans.get(), 5);
        assert_eq!(read.unknown_names, ["max_requests"]);
    }

    #[test]
    fn a_wrong_line_is_named_with_what_is_allowed() {
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
    fn limits_are_shown_as_they_are_read() {
        for limits in [boot(), limits(5, 1_000_001, None)] {
            let text = render(&limits).replace(' ', "\n");

            assert_eq!(parse(&text, boot()).unwrap().limits, limits);
        }
    }
}
