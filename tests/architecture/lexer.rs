//! Rust source as a flat list of tokens: enough to read paths, no more.

/// A word, a `::`, a plain string with its quotes, or any other single character. Comments and all
/// other literals are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is_word(self) -> bool {
        self.text.starts_with(is_word)
    }
}

/// Reads `source` into tokens.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut cursor = Cursor { rest: source, line: 1 };
    let mut found = vec![];
    while let Some(first) = cursor.rest.chars().next() {
        if let Some(length) = comment(cursor.rest).or_else(|| literal(cursor.rest)) {
            let line = cursor.line;
            let text = cursor.take(length);
            found.extend(text.starts_with('"').then_some(Token { text, line }));
            continue;
        }
        let length = match first {
            c if is_word(c) => word(cursor.rest),
            ':' if cursor.rest.starts_with("::") => 2,
            c => c.len_utf8(),
        };
        let line = cursor.line;
        let text = cursor.take(length);
        if !first.is_whitespace() {
            found.push(Token { text: text.strip_prefix("r#").unwrap_or(text), line });
        }
    }
    found
}

struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the word at the start of `text`, a raw identifier's `r#` included.
fn word(text: &str) -> usize {
    let prefix = if text.starts_with("r#") { 2 } else { 0 };
    text.char_indices().skip(prefix).find(|&(_, c)| !is_word(c)).map_or(text.len(), |(at, _)| at)
}

/// The length of the comment at the start of `text`, if there is one.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match (rest.starts_with("/*"), rest.starts_with("*/"), rest.chars().next()) {
            (true, ..) => (depth, at) = (depth + 1, at + 2),
            (_, true, _) => (depth, at) = (depth - 1, at + 2),
            (.., Some(c)) => at += c.len_utf8(),
            (.., None) => return Some(at),
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The length of the string or character literal, or the lifetime, at the start of `text`.
fn literal(text: &str) -> Option<usize> {
    if let Some(rest) = text.strip_prefix('\'') {
        return Some(1 + character(rest).unwrap_or_else(|| word(rest)));
    }
    let prefix = ["", "b", "c", "r", "br", "cr"]
        .into_iter()
        .rev()
        .find(|prefix| text.strip_prefix(prefix).is_some_and(|s| s.starts_with(['"', '#'])))?;
    let marks = text.get(prefix.len()..)?;
    let body = marks.trim_start_matches('#');
    let hashes = marks.len() - body.len();
    let raw = prefix.ends_with('r');
    let inside = body.strip_prefix('"').filter(|_| raw || hashes == 0)?;
    let length = if raw { raw_string(inside, hashes) } else { escaped(inside, '"') };
    Some(prefix.len() + hashes + 1 + length)
}

/// After the opening quote: the rest of a character literal, or nothing for a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.chars();
    let first = chars.next()?;
    (first == '\\' || chars.next() == Some('\'')).then(|| escaped(text, '\''))
}

/// The length up to and with the closing quote, backslashes minded.
fn escaped(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str, hashes: usize) -> usize {
    let end = format!("\"{}", "#".repeat(hashes));
    text.find(&end).map_or(text.len(), |at| at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<&str> {
        tokens(source).into_iter().filter(|t| t.is_word()).map(|t| t.text).collect()
    }

    #[test]
    fn comments_are_left_out_also_nested_ones() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
    }

    #[test]
    fn a_plain_string_is_one_token_with_its_quotes() {
        let found = tokens(r#"a = "b c \" d" e"#);

        assert_eq!(
            found.iter().map(|t| t.text).collect::<Vec<_>>(),
            ["a", "=", r#""b c \" d""#, "e"]
        );
    }

    #[test]
    fn strings_name_nothing_whatever_their_escapes_and_hashes() {
        let source = r###"a "b \" c" d r#"e " f"# g b"h" i br##"j "# k"## l"###;

        assert_eq!(words(source), ["a", "d", "g", "i", "l"]);
    }

    #[test]
    fn characters_and_lifetimes_are_left_out_without_taking_what_follows() {
        assert_eq!(words(r"a 'b' c '\'' d 'static e '\u{1F600}' f '"), ["a", "c", "d", "e", "f"]);
    }

    #[test]
    fn a_raw_identifier_reads_as_its_name() {
        assert_eq!(words("r#type rest r"), ["type", "rest", "r"]);
    }

    #[test]
    fn a_token_knows_its_line_after_multi_line_literals() {
        let found = tokens("b\"one\ntwo\"\n/* three\n*/ a::b");

        assert_eq!(
            found.iter().map(|t| (t.text, t.line)).collect::<Vec<_>>(),
            [("a", 4), ("::", 4), ("b", 4)]
        );
    }
}
