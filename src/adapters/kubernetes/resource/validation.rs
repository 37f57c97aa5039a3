//! The list of all errors of a `TraceBuffer`.

use std::fmt;

/// An invalid field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, such as `spec.destination.headers[0].name`.
    pub field: String,
    /// What is allowed and what was found. Never contains a secret.
    pub message: String,
}

/// All errors of a `TraceBuffer`; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationErrors(
    /// In the order of the fields in the spec.
    pub Vec<FieldError>,
);

impl ValidationErrors {
    /// Returns all errors in one line, for a condition, an event or a warning.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let errors = self.0.iter().map(|error| format!("{} {}", error.field, error.message));
        errors.collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for ValidationErrors {
    /// Writes one line per error, in aligned columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            self.0.iter().map(|error| error.field.chars().count()).max().unwrap_or_default();
        for (index, FieldError { field, message }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{field:width$}  {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ValidationErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_errors() -> ValidationErrors {
        let error = |field: &str, message: &str| FieldError {
            field: field.into(),
            message: message.into(),
        };
        ValidationErrors(vec![
            error("spec.destination.endpoint", "must be a URL"),
            error("spec.buffer.maxSpans", "must be a number"),
        ])
    }

    #[test]
    fn errors_are_listed_in_aligned_columns() {
        assert_eq!(
            two_errors().to_string(),
            "spec.destination.endpoint  must be a URL\nspec.buffer.maxSpans       must be a number"
        );
    }

    #[test]
    fn errors_can_be_shown_in_one_line() {
        assert_eq!(
            two_errors().in_one_line(),
            "spec.destination.endpoint must be a URL; spec.buffer.maxSpans must be a number"
        );
    }
}
