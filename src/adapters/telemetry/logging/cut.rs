//! Cuts log lines that are too long.

use std::borrow::Cow;

use serde_json::Value;

use super::LogFormat;
use crate::domain::text::truncated_bytes;

/// Maximum bytes of a line with its line break. The kernel writes as much to a pipe in one piece.
pub(super) const MAX_LINE_BYTES: usize = 4 * 1024;
/// Maximum bytes of each text in a JSON line that is too long; the first that suffices is used.
const MAX_VALUE_BYTES: [usize; 4] = [2048, 512, 128, 32];

/// Returns `line`, or a part of it that is a line of the same format; `…` marks where it was cut.
pub(super) fn cut(line: &str, format: LogFormat) -> Cow<'_, str> {
    if line.len() <= MAX_LINE_BYTES {
        return line.into();
    }
    let json = match format {
        LogFormat::Json => serde_json::from_str(line).ok().and_then(cut_values),
        LogFormat::Text => None,
    };
    json.unwrap_or_else(|| {
        let text = truncated_bytes(line.trim_end_matches('\n'), MAX_LINE_BYTES - 1);
        text.into_owned() + "\n"
    })
    .into()
}

/// Shortens the texts of an object as far as necessary; `None` if its other values are too long.
fn cut_values(mut object: Value) -> Option<String> {
    MAX_VALUE_BYTES.into_iter().find_map(|max_bytes| {
        for value in object.as_object_mut()?.values_mut() {
            if let Value::String(text) = value
                && text.len() > max_bytes
            {
                *text = truncated_bytes(text, max_bytes).into_owned();
            }
        }
        let line = format!("{object}\n");
        (line.len() <= MAX_LINE_BYTES).then_some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_fits_is_unchanged() {
        let line = "x".repeat(MAX_LINE_BYTES - 1) + "\n";

        assert_eq!(cut(&line, LogFormat::Text), line);
    }

    #[test]
    fn a_long_text_line_ends_at_a_character_with_a_mark_and_one_line_break() {
        let line = "é".repeat(MAX_LINE_BYTES) + "\n";

        let cut = cut(&line, LogFormat::Text);

        assert!(cut.len() <= MAX_LINE_BYTES, "{}", cut.len());
        assert!(cut.len() > MAX_LINE_BYTES - 4, "{}", cut.len());
        assert!(cut.ends_with("é…\n"));
        assert_eq!(cut.matches('\n').count(), 1);
    }

    #[test]
    fn a_long_json_line_stays_an_object_with_its_short_fields() {
        for text in ["é".repeat(10_000), "\n".repeat(10_000), "\"\\".repeat(10_000)] {
            let fields = serde_json::json!({ "level": "WARN", "a": text, "spans": 3, "b": text });

            let line = cut(&format!("{fields}\n"), LogFormat::Json).into_owned();

            assert!(line.len() <= MAX_LINE_BYTES, "{}", line.len());
            assert_eq!(line.matches('\n').count(), 1);
            let object: Value = serde_json::from_str(&line).unwrap();
            assert_eq!((&object["level"], &object["spans"]), (&"WARN".into(), &3.into()));
            assert!(object["a"].as_str().unwrap().ends_with('…'), "{line}");
        }
    }

    #[test]
    fn json_with_too_many_fields_is_still_one_line_that_fits() {
        let fields: serde_json::Map<_, _> =
            (0..1000).map(|number| (number.to_string(), number.into())).collect();

        let line = cut(&format!("{}\n", Value::Object(fields)), LogFormat::Json).into_owned();

        assert!(line.len() <= MAX_LINE_BYTES && line.ends_with("…\n"));
    }
}
