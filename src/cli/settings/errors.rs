//! All errors of a configuration, in one list.

use std::fmt;

use super::SettingTable;
use crate::domain::text::truncated;

/// Maximum characters of a value that are shown.
const MAX_FOUND_CHARS: usize = 40;

/// One invalid setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct SettingError {
    /// The name of the setting.
    pub(in crate::cli) setting: &'static str,
    /// The flag or variable the value came from.
    pub(in crate::cli) origin: String,
    /// The value, quoted; never a secret.
    pub(in crate::cli) found: String,
    /// What is allowed.
    pub(in crate::cli) message: String,
}

/// All invalid settings of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingErrors {
    /// The subcommand that was configured.
    pub(in crate::cli) command: &'static str,
    pub(in crate::cli) errors: Vec<SettingError>,
}

impl SettingErrors {
    /// Sorts the errors of `command` in the order of its table.
    pub(in crate::cli) fn sorted(
        command: &'static str,
        table: SettingTable,
        mut errors: Vec<SettingError>,
    ) -> Self {
        errors.sort_by_key(|error| table.iter().position(|s| s.name() == error.setting));
        Self { command, errors }
    }
}

impl fmt::Display for SettingErrors {
    /// Writes a line for each error, in columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self
            .errors
            .iter()
            .map(|m| (m.origin.as_str(), truncated(&m.found, MAX_FOUND_CHARS), &m.message))
            .collect();
        let origin_width = rows.iter().map(|row| row.0.chars().count()).max().unwrap_or_default();
        let found_width = rows.iter().map(|row| row.1.chars().count()).max().unwrap_or_default();
        let heading = if rows.len() == 1 { "this setting is" } else { "these settings are" };
        writeln!(f, "tracebuffer cannot start because {heading} invalid:\n")?;
        for (origin, found, why) in rows {
            writeln!(f, "  {origin:origin_width$}  {found:found_width$}  {why}")?;
        }
        writeln!(
            f,
            "\nRun `tracebuffer {} --help` for a description of every setting.",
            self.command
        )
    }
}

impl std::error::Error for SettingErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(origin: &str, found: &str, why: &str) -> SettingError {
        SettingError {
            setting: "LINGER",
            origin: origin.into(),
            found: found.into(),
            message: why.into(),
        }
    }

    fn of(list: Vec<SettingError>) -> SettingErrors {
        SettingErrors { command: "receiver", errors: list }
    }

    #[test]
    fn errors_are_listed_in_aligned_columns() {
        let errors = of(vec![
            error("TRACEBUFFER_MAX_SPANS", r#""many""#, "must be a number"),
            error("--linger", r#""später""#, "must be a duration"),
        ]);

        let text = errors.to_string();

        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("  ")).collect();
        assert_eq!(
            lines,
            [
                r#"  TRACEBUFFER_MAX_SPANS  "many"    must be a number"#,
                r#"  --linger               "später"  must be a duration"#,
            ]
        );
    }

    #[test]
    fn a_single_error_is_counted_as_one() {
        let text = of(vec![error("--linger", "x", "y")]).to_string();

        assert!(
            text.starts_with("tracebuffer cannot start because this setting is invalid:\n"),
            "{text}"
        );
    }

    #[test]
    fn a_long_value_is_cut() {
        let text = of(vec![error("--linger", &"ä".repeat(1_000), "end")]).to_string();

        assert!(text.contains(&format!("  {}…  end", "ä".repeat(40))), "{text}");
    }
}
