//! A YAML or JSON document with the line of every value.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

/// A value and the line of its start.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The line in the file, from 1.
    pub(super) line: u64,
    pub(super) content: Content,
}

/// The value of a node.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Mapping(Vec<(String, Node)>),
    Sequence(Vec<Node>),
    Scalar(Value),
}

impl Node {
    /// Parses the documents of `text`; empty ones are left out.
    ///
    /// # Errors
    ///
    /// The syntax error, with its line.
    pub(super) fn parse_documents(text: &str) -> Result<Vec<Self>, serde_saphyr::Error> {
        let documents: Vec<Spanned<Content>> = serde_saphyr::from_multiple(text)?;
        let is_empty = |node: &Self| matches!(node.content, Content::Scalar(Value::Null));
        Ok(documents.into_iter().map(Self::from).filter(|node| !is_empty(node)).collect())
    }

    /// Returns the field `name`.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        match &self.content {
            Content::Mapping(fields) => {
                fields.iter().find(|(n, _)| n == name).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// Returns the string; `None` for other values.
    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the elements; none if the value is not an array.
    pub(super) fn as_sequence(&self) -> &[Self] {
        match &self.content {
            Content::Sequence(elements) => elements,
            _ => &[],
        }
    }

    /// Returns the line of the field at `path`, such as `spec.headers[0].name`, or of its nearest parent
    /// that exists.
    pub(super) fn line_of(&self, path: &str) -> u64 {
        let steps = path.split(['.', '[']).map(|step| step.trim_end_matches(']'));
        let mut node = self;
        for step in steps {
            let next = match &node.content {
                Content::Sequence(elements) => {
                    step.parse().ok().and_then(|i: usize| elements.get(i))
                }
                _ => node.field(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.line
    }

    /// Returns the value without lines and without null fields, which mean absent for the API server.
    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::Sequence(elements) => elements.iter().map(Self::to_json).collect(),
            Content::Mapping(fields) => {
                let fields = fields.iter().map(|(name, node)| (name.clone(), node.to_json()));
                Value::Object(fields.filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
            }
        }
    }
}

impl From<Spanned<Content>> for Node {
    fn from(spanned: Spanned<Content>) -> Self {
        Self { line: spanned.referenced.line(), content: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Content, A::Error> {
        let mut found = Vec::new();
        while let Some(element) = elements.next_element::<Spanned<Content>>()? {
            found.push(element.into());
        }
        Ok(Content::Sequence(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Content, A::Error> {
        let mut found = Vec::new();
        while let Some((name, value)) = fields.next_entry::<String, Spanned<Content>>()? {
            found.push((name, value.into()));
        }
        Ok(Content::Mapping(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "---\n# nothing\n---\na:\n  b: 1\n  c:\n    - x: null\n    - 1.5\n---\n{\"d\": true}\n";

    #[test]
    fn every_document_is_read_with_lines_counted_in_the_file() {
        let documents = Node::parse_documents(TEXT).unwrap();

        let values: Vec<_> = documents.iter().map(Node::to_json).collect();
        let expected = [
            serde_json::json!({ "a": { "b": 1, "c": [{}, 1.5] } }),
            serde_json::json!({ "d": true }),
        ];
        assert_eq!(values, expected);
        assert_eq!(documents[0].line_of("a.b"), 5);
        assert_eq!(documents[0].line_of("a.c[1]"), 8);
        assert_eq!(documents[1].line_of("d"), 10);
    }

    #[test]
    fn a_missing_field_has_the_line_of_its_nearest_parent() {
        let documents = Node::parse_documents(TEXT).unwrap();

        assert_eq!(documents[0].line_of("a.c[0].y.z"), 7);
        assert_eq!(documents[0].line_of("nothing"), 4);
    }

    #[test]
    fn invalid_yaml_is_an_error_with_its_line() {
        let error = Node::parse_documents("a: 1\nb: [1\n").unwrap_err();

        assert!(error.to_string().contains("line"), "{error}");
    }

    #[test]
    fn a_duplicate_field_is_an_error() {
        assert!(Node::parse_documents("a: 1\na: 2\n").is_err());
    }
}
