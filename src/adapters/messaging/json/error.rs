//! Errors with the problem in malformed JSON and its position.

use std::fmt::{self, Display};

use crate::domain::text::{Escaped, truncated};

/// Maximum characters of the sender's text quoted in an error.
const MAX_EXCERPT_CHARS: usize = 40;

/// Maximum segments shown at the beginning of a path and, beyond those, at its end.
const MAX_PATH_SEGMENTS: usize = 12;

/// Why a JSON request could not be converted, and where.
///
/// The text quotes at most 40 characters of the request, escaped, and has a bounded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedJson {
    line: usize,
    column: usize,
    path: String,
    problem: String,
}

/// The fields and array indexes that lead from the request to a value, innermost first, because an
/// error collects them while it propagates outwards.
#[derive(Default)]
pub(super) struct JsonPath(Vec<PathSegment>);

/// One segment of a [`JsonPath`].
#[derive(Clone, Copy)]
pub(super) enum PathSegment {
    Field(&'static str),
    Index(usize),
}

/// The beginning of the sender's text, escaped.
pub(super) struct Excerpt<'a>(pub(super) &'a str);

impl MalformedJson {
    /// The line, counted from 1, where reading stopped.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The column, in bytes, where reading stopped: at the value at fault or right after it.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// The value at fault, as in `resourceSpans[0].scopeSpans[0].spans[3].kind`; empty for the
    /// request itself.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What was found, and what is allowed.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// Creates an error for a problem at byte `offset` of the request.
    pub(super) fn at(json: &[u8], offset: usize, problem: &str) -> Self {
        let before = json.get(..offset).unwrap_or(json);
        let mut lines = before.split(|byte| *byte == b'\n');
        let last = lines.next_back().unwrap_or_default();
        Self {
            line: 1 + lines.count(),
            column: 1 + last.len(),
            path: String::new(),
            problem: problem.to_owned(),
        }
    }

    /// Converts an error that the JSON parser, or one of our visitors, reported at `path`.
    pub(super) fn new(error: &serde_json::Error, path: &JsonPath) -> Self {
        let (line, column) = (error.line(), error.column());
        let mut problem = error.to_string();
        let position = format!(" at line {line} column {column}");
        if problem.ends_with(&position) {
            problem.truncate(problem.len() - position.len());
        }
        Self { line, column, path: path.to_string(), problem }
    }
}

impl Display for MalformedJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed OTLP/JSON request at line {}, column {}", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, ", in {}", self.path)?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for MalformedJson {}

impl JsonPath {
    /// Adds an outer segment.
    pub(super) fn prepend(&mut self, segment: PathSegment) {
        // The innermost segment is first, so an outer one goes to the end.
        self.0.push(segment);
    }
}

impl Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tail = self.0.len().saturating_sub(MAX_PATH_SEGMENTS).max(MAX_PATH_SEGMENTS);
        for (at, segment) in self.0.iter().rev().enumerate() {
            match segment {
                _ if at == MAX_PATH_SEGMENTS && at < tail => f.write_str("…")?,
                _ if at > MAX_PATH_SEGMENTS && at < tail => {}
                PathSegment::Field(name) if at == 0 => f.write_str(name)?,
                PathSegment::Field(name) => write!(f, ".{name}")?,
                PathSegment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&truncated(self.0, MAX_EXCERPT_CHARS)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(steps: impl IntoIterator<Item = PathSegment, IntoIter: DoubleEndedIterator>) -> String {
        let mut path = JsonPath::default();
        steps.into_iter().rev().for_each(|step| path.prepend(step));
        path.to_string()
    }

    #[test]
    fn a_path_is_written_as_in_javascript() {
        let steps = [
            PathSegment::Field("resourceSpans"),
            PathSegment::Index(0),
            PathSegment::Field("schemaUrl"),
        ];

        assert_eq!(path(steps), "resourceSpans[0].schemaUrl");
    }

    #[test]
    fn a_long_path_keeps_its_beginning_and_its_end() {
        assert_eq!(
            path((0..100).map(PathSegment::Index)),
            "[0][1][2][3][4][5][6][7][8][9][10][11]…[88][89][90][91][92][93][94][95][96][97][98][99]"
        );
        assert_eq!(
            path((0..14).map(PathSegment::Index)),
            "[0][1][2][3][4][5][6][7][8][9][10][11][12][13]"
        );
    }

    #[test]
    fn an_excerpt_is_cut_short_and_shows_control_characters_escaped() {
        assert_eq!(Excerpt("a\nb\u{1b}").to_string(), "a\\nb\\u{1b}");
        assert_eq!(Excerpt(&"é".repeat(41)).to_string(), format!("{}…", "é".repeat(40)));
    }

    #[test]
    fn an_excerpt_shows_characters_that_reorder_text_escaped() {
        assert_eq!(Excerpt("a\u{202e}b\u{2028}").to_string(), "a\\u{202e}b\\u{2028}");
    }

    #[test]
    fn the_position_of_a_byte_is_counted_in_lines_and_bytes_from_one() {
        let error = MalformedJson::at(b"{\n \n  \xff", 6, "bad");

        assert_eq!((error.line(), error.column()), (3, 3));
    }
}
