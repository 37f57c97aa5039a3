//! The documents of a manifest in YAML or JSON.

use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

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
    let (mut documents, mut lines) = (vec![], 0);
    for text in split_documents(manifest) {
        let Ok(parsed) = parse(text) else {
            // Again, so that the message counts lines from the start of the manifest.
            let message = parse(&("\n".repeat(lines) + text)).err().unwrap_or_default();
            return Err(ManifestError::Syntax { document: documents.len() + 1, message });
        };
        documents.extend(parsed);
        lines += text.matches('\n').count();
    }
    Ok(documents)
}

/// Parses what is between two separators: one document of YAML, or any number of JSON.
fn parse(text: &str) -> Result<Vec<Document<'_>>, String> {
    if is_json(text) {
        return parse_json(text);
    }
    // kubectl parses YAML 1.1: 0644 is octal, yes is true, and of equal keys the last counts. A snippet
    // could show a Secret in a log.
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
    };
    let value = serde_saphyr::from_str_with_options::<Option<Value>>(text, options)
        .map_err(|error| error.to_string())?;
    Ok(vec![Document { text, value: value.unwrap_or_default() }])
}

/// Parses JSON documents in a row.
fn parse_json(text: &str) -> Result<Vec<Document<'_>>, String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let (mut documents, mut start) = (vec![], 0);
    while let Some(value) = values.next() {
        let value = value.map_err(|error| error.to_string())?;
        let end = values.byte_offset();
        // White space at the end belongs to the last document.
        let is_last = text.get(end..).is_none_or(|rest| rest.trim().is_empty());
        let end = if is_last { text.len() } else { end };
        documents.push(Document { text: text.get(start..end).unwrap_or_default(), value });
        start = end;
    }
    Ok(documents)
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
    fn json_documents_in_a_row_are_separate() {
        let manifest = "{\"a\": 1}{\"b\": {}}\n\n {\"c\": 3}\n---\nd: 4\n";

        let documents = parse_documents(manifest).unwrap();

        let values: Vec<_> = documents.iter().map(|document| document.value.clone()).collect();
        assert_eq!(values, [json!({"a": 1}), json!({"b": {}}), json!({"c": 3}), json!({"d": 4})]);
        assert_eq!(documents.iter().map(|document| document.text).collect::<String>(), manifest);
    }

    #[test]
    fn of_equal_keys_the_last_counts_as_in_kubectl() {
        assert_eq!(values("a: 1\nb: 2\na: 3\n"), [json!({"a": 3, "b": 2})]);
        assert_eq!(values(r#"{"a": 1, "a": 3}"#), [json!({"a": 3})]);
    }

    /// No document is parsed together with the lines before it.
    #[test]
    fn the_time_is_linear_in_the_number_of_documents() {
        let documents = "---\na: 1\n".repeat(20_000);
        let started = std::time::Instant::now();

        assert_eq!(values(&documents).len(), 20_000);

        assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
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
