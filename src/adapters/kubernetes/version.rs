//! The version of a cluster.

use k8s_openapi::apimachinery::pkg::version::Info;

/// Returns the major and the minor version. Minor versions may have more behind the number, such as
/// `29+`; what is no number is taken as the newest.
pub(super) fn major_minor(version: &Info) -> (u32, u32) {
    (leading_number(&version.major), leading_number(&version.minor))
}

fn leading_number(text: &str) -> u32 {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_with_any_suffix() {
        let newest = u32::MAX;
        for (major, minor, expected) in [
            ("1", "28+", (1, 28)),
            ("1", "29", (1, 29)),
            ("2", "0-eks", (2, 0)),
            ("", "x", (newest, newest)),
        ] {
            let (major, minor) = (major.to_owned(), minor.to_owned());
            assert_eq!(major_minor(&Info { major, minor, ..Info::default() }), expected);
        }
    }
}
