//! The reasons why a pod gets no sidecar, as a table.

use crate::domain::operator::injection::skip::SkipReason;

const HEAD: &str = "\
| Reason | What it means | What to do |
|---|---|---|
";

/// Returns the table of `docs/operations.md`, in Markdown.
#[must_use]
pub fn skip_reasons_table() -> String {
    SkipReason::ALL.iter().fold(HEAD.to_owned(), |text, reason| text + &row(*reason))
}

fn row(reason: SkipReason) -> String {
    let (word, meaning, remedy) = (reason.as_str(), reason.meaning(), reason.remedy());
    // Angle brackets are tags to Markdown.
    let remedy = remedy.replace('<', "&lt;");
    format!("| `{word}` | {meaning} | {remedy} |\n")
}
