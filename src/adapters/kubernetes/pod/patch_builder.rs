//! Builds a patch of `add` operations.

use json_patch::jsonptr::PointerBuf;
use json_patch::jsonptr::Token;
use json_patch::{AddOperation, Patch, PatchOperation};
use serde_json::Value;

/// Builds the patch of one document.
pub(super) struct PatchBuilder<'a> {
    document: &'a Value,
    operations: Vec<PatchOperation>,
}

impl<'a> PatchBuilder<'a> {
    /// Creates a builder without operations.
    pub(super) const fn new(document: &'a Value) -> Self {
        Self { document, operations: vec![] }
    }

    /// Adds `members` to the object at `path`, recursively: objects are merged, and any other existing
    /// value that differs is replaced.
    pub(super) fn merge(&mut self, path: &[&str], members: Value) {
        let pointer = PointerBuf::from_tokens(path.iter().copied());
        match (self.document.pointer(pointer.as_str()), members) {
            (Some(Value::Object(_)), Value::Object(members)) => {
                for (key, member) in members {
                    self.merge(&[path, &[key.as_str()]].concat(), member);
                }
            }
            (Some(existing), member) if *existing == member => {}
            (_, member) => self.add(pointer, member),
        }
    }

    /// Adds `values` at the end of the array at `path`, which is created if absent.
    pub(super) fn append(&mut self, path: &[&str], values: Vec<Value>) {
        self.insert(path, None, values);
    }

    /// Inserts `value` at `index` into the array at `path`, which is created if absent.
    pub(super) fn insert_before(&mut self, path: &[&str], index: usize, value: Value) {
        self.insert(path, Some(index), vec![value]);
    }

    /// Returns the patch.
    pub(super) fn build(self) -> Patch {
        Patch(self.operations)
    }

    fn insert(&mut self, path: &[&str], index: Option<usize>, values: Vec<Value>) {
        let pointer = PointerBuf::from_tokens(path.iter().copied());
        if values.is_empty() {
            return;
        }
        match self.document.pointer(pointer.as_str()) {
            Some(Value::Array(_)) => {
                for value in values {
                    let token = index.map_or_else(|| Token::new("-"), Token::from);
                    self.add(pointer.with_trailing_token(token), value);
                }
            }
            None | Some(Value::Null) => self.add(pointer, Value::Array(values)),
            // Not valid in a pod; it is not replaced.
            Some(_) => {}
        }
    }

    fn add(&mut self, path: PointerBuf, value: Value) {
        self.operations.push(PatchOperation::Add(AddOperation { path, value }));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn assert_edits(
        document: &Value,
        patch: impl FnOnce(&mut PatchBuilder<'_>),
        operations: &Value,
    ) {
        let mut edited = PatchBuilder::new(document);
        patch(&mut edited);
        assert_eq!(serde_json::to_value(edited.build()).unwrap(), *operations);
    }

    #[test]
    fn an_object_that_is_absent_or_null_is_added_whole() {
        for document in [json!({}), json!({"m": null})] {
            assert_edits(
                &document,
                |patch| patch.merge(&["m"], json!({"a": "1"})),
                &json!([{"op": "add", "path": "/m", "value": {"a": "1"}}]),
            );
        }
    }

    #[test]
    fn members_are_added_one_by_one_with_their_keys_escaped() {
        assert_edits(
            &json!({"m": {"old": "0", "same": "1"}}),
            |patch| patch.merge(&["m"], json!({"a/b~c": "1", "same": "1"})),
            &json!([{"op": "add", "path": "/m/a~1b~0c", "value": "1"}]),
        );
    }

    #[test]
    fn an_array_that_is_absent_or_null_is_added_whole() {
        for document in [json!({}), json!({"l": null})] {
            assert_edits(
                &document,
                |patch| patch.append(&["l"], vec![json!(1), json!(2)]),
                &json!([{"op": "add", "path": "/l", "value": [1, 2]}]),
            );
        }
    }

    #[test]
    fn items_are_added_at_the_end_of_a_list_or_before_an_index() {
        assert_edits(
            &json!({"l": [{"n": []}]}),
            |patch| {
                patch.append(&["l", "0", "n"], vec![json!(1), json!(2)]);
                patch.insert_before(&["l"], 0, json!(3));
            },
            &json!([
                {"op": "add", "path": "/l/0/n/-", "value": 1},
                {"op": "add", "path": "/l/0/n/-", "value": 2},
                {"op": "add", "path": "/l/0", "value": 3},
            ]),
        );
    }

    #[test]
    fn an_empty_patch_has_no_operation_and_no_value_is_replaced() {
        assert_edits(&json!({}), |patch| patch.append(&["l"], vec![]), &json!([]));
        assert_edits(&json!({"l": 1}), |patch| patch.append(&["l"], vec![json!(1)]), &json!([]));
    }
}
