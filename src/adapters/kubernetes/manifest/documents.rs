//! The documents of a manifest: YAML or JSON, one or many.

use serde_json::Value;

use super::ManifestError;

/// What a line begins with that divides YAML documents.
const MARKER: &str = "---";

/// One document.
pub(super) struct Document<'a> {
    /// Its text as it was, which is printed again where nothing is changed.
    pub(super) text: &'a str,
    /// What it says; null where it says nothing.
    pub(super) value: Value,
}

/// Reads the documents of a manifest.
///
/// # Errors
///
/// [`ManifestError::Syntax`] with the number of the document that cannot be read.
pub(super) fn read(manifest: &str) -> Result<Vec<Document<'_>>, ManifestError> {
    let documents = divide(manifest).into_iter().enumerate();
    let read = documents.map(|(index, text)| {
        let value =
            value(text).map_err(|why| ManifestError::Syntax { document: index + 1, why })?;
        Ok(Document { text, value })
    });
    read.collect()
}

/// Returns `value` in the language of `text`, which it replaces.
pub(super) fn written_like(text: &str, value: &Value) -> Result<String, ManifestError> {
    let written = if is_json(text) {
        serde_json::to_string_pretty(value).map(|json| json + "\n").map_err(|e| e.to_string())
    } else {
        serde_saphyr::to_string(value).map_err(|e| e.to_string())
    };
    written.map_err(ManifestError::Unwritable)
}

fn value(text: &str) -> Result<Value, String> {
    if is_json(text) {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    serde_saphyr::from_str::<Option<Value>>(text)
        .map(Option::unwrap_or_default)
        .map_err(|error| error.to_string())
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Divides a manifest at the lines that divide documents. A line within a text of several lines is
/// indented and no such line.
fn divide(manifest: &str) -> Vec<&str> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in manifest.split_inclusive('\n') {
        let rest = line.strip_prefix(MARKER);
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
        read(manifest).unwrap().into_iter().map(|document| document.value).collect()
    }

    #[test]
    fn documents_are_divided_and_lose_nothing_of_their_text() {
        let manifest = "# head\na: 1\n---\n---  # note\nb: |\n  ---\n  x\n--- \nc: ---\n---d: 1\n";
        let documents =
            read("# head\na: 1\n---\n---  # note\nb: |\n  ---\n  x\n--- \nc: 2\n").unwrap();
        let texts: Vec<_> = documents.iter().map(|document| document.text).collect();
        assert_eq!(
            texts,
            ["# head\na: 1\n", "---\n", "---  # note\nb: |\n  ---\n  x\n", "--- \nc: 2\n"]
        );
        assert_eq!(divide(manifest).concat(), manifest);
    }

    #[test]
    fn yaml_is_read_and_what_says_nothing_is_null() {
        assert_eq!(
            values("a: 1\n---\n# nothing\n---\nb: [x]\n"),
            [json!({"a": 1}), Value::Null, json!({"b": ["x"]})]
        );
        assert_eq!(values(""), Vec::<Value>::new());
    }

    #[test]
    fn json_is_read_and_written_as_json() {
        let document = r#" {"b": 1, "a": [true, null]}"#;
        assert_eq!(values(document), [json!({"a": [true, null], "b": 1})]);
        let written = written_like(document, &values(document)[0]).unwrap();
        assert_eq!(written, "{\n  \"b\": 1,\n  \"a\": [\n    true,\n    null\n  ]\n}\n");
    }

    #[test]
    fn the_order_of_keys_and_every_value_survive_being_written() {
        let document = "z: 1\na: 'yes'\nn: \"null\"\nd: '2024-01-01'\no: '0o7'\nh: '0x1'\ne: '1e3'\nb: true\n\
                        f: 0.5\nl: 9007199254740993\nempty: ''\nlist: []\nmap: {}\nnothing: null\n\
                        several: |\n  a\n   b\n\nfolded: 'a: b # c'\ntilde: '~'\non: 'on'\n'y': n\n'1': one\n";
        let first = values(document);
        let written = written_like(document, &first[0]).unwrap();
        assert_eq!(values(&written), first, "{written}");
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&values(&written)[0])[..3], ["z", "a", "n"]);
    }

    #[test]
    fn a_syntax_error_names_the_document() {
        let error = read("a: 1\n---\nb: [\n").err().unwrap().to_string();
        assert!(error.starts_with("document 2: "), "{error}");
    }
}
