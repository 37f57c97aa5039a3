//! The table of settings in other forms.

use crate::cli::receiver::table::ALL;
use crate::cli::settings::AnySetting;

const EXAMPLE_HEAD: &str = "\
# Every setting of `tracebuffer receiver`, with its default. An empty value means unset.
# Each is also a flag: TRACEBUFFER_MAX_SPANS is --max-spans.
";

const TABLE_HEAD: &str = "\
| Variable | Default | What it says | Allowed |
|---|---|---|---|
";

/// Returns the text of `.env.example`: every variable with its default and a line of meaning.
#[must_use]
pub fn env_example() -> String {
    let groups = ALL.chunk_by(|one, next| one.group() == next.group());
    groups.fold(EXAMPLE_HEAD.to_owned(), |text, group| text + &example_group(group))
}

/// Returns the table of `docs/receiver.md`, in Markdown.
#[must_use]
pub fn settings_table() -> String {
    ALL.iter().fold(TABLE_HEAD.to_owned(), |text, setting| text + &table_row(*setting))
}

fn example_group(settings: &[&dyn AnySetting]) -> String {
    let title = settings.first().map(|first| first.group()).unwrap_or_default();
    let lines = settings.iter().map(|setting| example_lines(*setting));
    format!("\n## {title}\n{}", lines.collect::<String>())
}

fn example_lines(setting: &dyn AnySetting) -> String {
    let (meaning, allowed) = (setting.help(), setting.allowed());
    format!("\n# {meaning} ({allowed}).\n{}={}\n", setting.env_var(), setting.default())
}

fn table_row(setting: &dyn AnySetting) -> String {
    let default = match setting.default() {
        "" => "unset".to_owned(),
        default => format!("`{default}`"),
    };
    let (meaning, allowed) = (setting.help(), setting.allowed());
    format!("| `{}` | {default} | {meaning} | {allowed} |\n", setting.env_var())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_assigns_every_variable_its_default_once() {
        let text = env_example();

        let assignments: Vec<_> =
            text.lines().filter(|line| line.contains('=') && !line.starts_with('#')).collect();
        let expected: Vec<_> =
            ALL.iter().map(|s| format!("{}={}", s.env_var(), s.default())).collect();
        assert_eq!(assignments, expected);
    }

    #[test]
    fn the_example_says_one_line_before_every_variable() {
        let text = env_example();

        assert!(text.contains(
            "\n\n# Maximum number of buffered spans (a whole number from 1 to 1000000000).\nTRACEBUFFER_MAX_SPANS=50000\n"
        ));
    }

    #[test]
    fn the_table_has_a_row_of_four_cells_for_every_setting() {
        let text = settings_table();

        assert_eq!(text.lines().count(), ALL.len() + 2);
        assert!(text.lines().all(|row| row.matches('|').count() == 5), "{text}");
        assert!(text.contains("| `TRACEBUFFER_MAX_AGE` | unset | "));
    }
}
