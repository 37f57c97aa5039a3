//! Everything that is wrong with a `TraceBuffer`, in one list.

use std::fmt;

/// One field that will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where it is, such as `spec.destination.headers[0].name`.
    pub field: String,
    /// What is allowed, and what was found instead; never a secret.
    pub message: String,
}

/// All mistakes of a `TraceBuffer`; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationErrors(
    /// In the order of the spec's fields.
    pub Vec<FieldError>,
);

impl ValidationErrors {
    /// Returns them in one line, for a condition, an event or a warning.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let each = self.0.iter().map(|mistake| format!("{} {}", mistake.field, mistake.message));
        each.collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for ValidationErrors {
    /// Writes a line for each mistake, in columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|m| m.field.chars().count()).max().unwrap_or_default();
        for (index, FieldError { field, message: why }) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{field:width$}  {why}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ValidationErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> ValidationErrors {
        let mistake =
            |field: &str, why: &str| FieldError { field: field.into(), message: why.into() };
        ValidationErrors(vec![
            mistake("spec.destination.endpoint", "must be a URL"),
            mistake("spec.buffer.maxSpans", "must be a number"),
        ])
    }

    #[test]
    fn mistakes_are_listed_in_aligned_columns() {
        assert_eq!(
            two().to_string(),
            "spec.destination.endpoint  must be a URL\nspec.buffer.maxSpans       must be a number"
        );
    }

    #[test]
    fn mistakes_also_fit_into_one_line() {
        assert_eq!(
            two().in_one_line(),
            "spec.destination.endpoint must be a URL; spec.buffer.maxSpans must be a number"
        );
    }
}
