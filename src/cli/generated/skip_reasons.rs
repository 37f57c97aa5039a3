//! The table of reasons for not injecting the sidecar.

use crate::domain::operator::injection::skip::SkipReason;

const HEAD: &str = "\
| Reason | Meaning | Remedy |
|---|---|---|
";

/// Returns the table of `docs/operations.md`, in Markdown.
#[must_use]
pub fn skip_reasons_table() -> String {
    SkipReason::ALL.iter().fold(HEAD.to_owned(), |text, reason| text + &row(*reason))
}

fn row(reason: SkipReason) -> String {
    let (name, meaning, remedy) = (reason.as_str(), reason.meaning(), reason.remedy());
    // Markdown renders text in angle brackets as HTML tags.
    let remedy = remedy.replace('<', "&lt;");
    format!("| `{name}` | {meaning} | {remedy} |\n")
}
