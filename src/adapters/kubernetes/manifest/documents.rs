//! The documents of a manifest in YAML or JSON.

use serde_json::Value;

use super::error::ManifestError;

/// The start of a line that separates YAML documents.
const DOCUMENT_SEPARATOR: &str = "---";

/// One document of a manifest.
pub(super) struct Document<'a> {
    /// The original text, which is printed if the document does not change.
    pub(super) text: &'a str,
    /// The parsed value; null for an empty document.
    pub(super) value: Value,
}

/// Parses the documents of a manifest.
///
/// # Errors
///
/// [`ManifestError::Syntax`] with the number of the first document that cannot be parsed.
pub(super) fn parse_documents(manifest: &str) -> Result<Vec<Document<'_>>, ManifestError> {
    let mut line = 0;
    let documents = split_documents(manifest).into_iter().enumerate().map(|(index, text)| {
        let value = parse_value(text, line)
            .map_err(|message| ManifestError::Syntax { document: index + 1, message })?;
        line += text.matches('\n').count();
        Ok(Document { text, value })
    });
    documents.collect()
}

/// Serializes `value`, which replaces `text`, in the format of `text`.
pub(super) fn serialize_like(text: &str, value: &Value) -> Result<String, ManifestError> {
    let serialized = if is_json(text) {
        serde_json::to_string_pretty(value).map(|json| json + "\n").map_err(|e| e.to_string())
    } else {
        serde_saphyr::to_string(value).map_err(|e| e.to_string())
    };
    serialized.map_err(ManifestError::NotSerializable)
}

/// Parses a document; `lines_before` makes error messages count lines from the start of the manifest.
fn parse_value(text: &str, lines_before: usize) -> Result<Value, String> {
    let padded = "\n".repeat(lines_before) + text;
    if is_json(text) {
        return serde_json::from_str(&padded).map_err(|error| error.to_string());
    }
    // kubectl parses YAML 1.1: 0644 is octal, and yes is true. A snippet could show a Secret in a log.
    let options = serde_saphyr::options! { legacy_octal_numbers: true, with_snippet: false };
    serde_saphyr::from_str_with_options::<Option<Value>>(&padded, options)
        .map(Option::unwrap_or_default)
        .map_err(|error| error.to_string())
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Splits a manifest at its document separators. Lines of a block scalar are indented, so they are never
/// taken for a separator.
fn split_documents(manifest: &str) -> Vec<&str> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in manifest.split_inclusive('\n') {
        let rest = line.strip_prefix(DOCUMENT_SEPARATOR);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([manifest.len()]);
    let parts = starts.iter().zip(ends).filter_map(|(start, end)| manifest.get(*start..end));
    parts.filter(|part| !part.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(manifest: &str) -> Vec<Value> {
        parse_documents(manifest).unwrap().into_iter().map(|document| document.value).collect()
    }

    #[test]
    fn documents_are_split_without_changing_their_text() {
        let manifest = "# head\na: 1\n---\n---  # note\nb: |\n  ---\n  x\n--- \nc: ---\n---d: 1\n";
        let documents =
            parse_documents("# head\na: 1\n---\n---  # note\nb: |\n  ---\n  x\n--- \nc: 2\n")
                .unwrap();
        let texts: Vec<_> = documents.iter().map(|document| document.text).collect();
        assert_eq!(
            texts,
            ["# head\na: 1\n", "---\n", "---  # note\nb: |\n  ---\n  x\n", "--- \nc: 2\n"]
        );
        assert_eq!(split_documents(manifest).concat(), manifest);
    }

    #[test]
    fn yaml_is_parsed_and_an_empty_document_is_null() {
        assert_eq!(
            values("a: 1\n---\n# nothing\n---\nb: [x]\n"),
            [json!({"a": 1}), Value::Null, json!({"b": ["x"]})]
        );
        assert_eq!(values(""), Vec::<Value>::new());
    }

    #[test]
    fn numbers_and_booleans_are_read_as_kubectl_does() {
        assert_eq!(
            values(
                "mode: 0644\nnew: 0o644\nyes: yes\noff: off\ntime: 12:30:45\ndate: 2024-01-01\n"
            )[0],
            json!({
                "mode": 420, "new": 420, "yes": true, "off": false, "time": "12:30:45",
                "date": "2024-01-01",
            })
        );
    }

    #[test]
    fn json_is_read_and_written_as_json() {
        let document = r#" {"b": 1, "a": [true, null]}"#;
        assert_eq!(values(document), [json!({"a": [true, null], "b": 1})]);
        let written = serialize_like(document, &values(document)[0]).unwrap();
        assert_eq!(written, "{\n  \"b\": 1,\n  \"a\": [\n    true,\n    null\n  ]\n}\n");
    }

    #[test]
    fn writing_keeps_the_order_of_keys_and_every_value() {
        let document = "z: 1\na: 'yes'\nn: \"null\"\nd: '2024-01-01'\no: '0o7'\nh: '0x1'\ne: '1e3'\nb: true\n\
                        f: 0.5\nl: 9007199254740993\nempty: ''\nlist: []\nmap: {}\nnothing: null\n\
                        several: |\n  a\n   b\n\nfolded: 'a: b # c'\ntilde: '~'\non: 'on'\n'y': n\n'1': one\n";
        let first = values(document);
        let written = serialize_like(document, &first[0]).unwrap();
        assert_eq!(values(&written), first, "{written}");
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&values(&written)[0])[..3], ["z", "a", "n"]);
    }

    #[test]
    fn a_syntax_error_names_document_and_line_and_shows_no_text() {
        for (broken, line) in
            [("---\nsecret: [\nb: ]]\n", "line 4"), ("---\nok: 1\n---\n\n{\"secret\": \n", "")]
        {
            let error = parse_documents(&format!("a: 1\n{broken}")).err().unwrap().to_string();
            assert!(error.starts_with("document ") && error.contains(line), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
