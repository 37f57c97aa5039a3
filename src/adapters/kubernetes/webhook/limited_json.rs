//! Parses JSON with a limited number of values.
//!
//! `serde_json` has no such limit, and its `Value` parses the text of an object with a certain private
//! key as JSON, which would bypass a limit.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a document was rejected.
#[derive(Debug)]
pub(super) enum LimitedJsonError {
    TooManyValues,
    Malformed(serde_json::Error),
}

/// Parses a document of at most `limit` values, and returns it with the number of its values. The last
/// of several members with the same name wins.
pub(super) fn parse(json: &str, limit: u32) -> Result<(Value, u32), LimitedJsonError> {
    let left = Cell::new(Some(limit));
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = LimitedValueSeed(&left).deserialize(&mut reader).and_then(|value| {
        reader.end()?;
        Ok(value)
    });
    match (value, left.get()) {
        (Ok(value), Some(left)) => Ok((value, limit - left)),
        (Err(error), Some(_)) => Err(LimitedJsonError::Malformed(error)),
        (_, None) => Err(LimitedJsonError::TooManyValues),
    }
}

/// Parses one value. The cell holds how many more values may follow; `None` once the limit is exceeded.
#[derive(Clone, Copy)]
struct LimitedValueSeed<'a>(&'a Cell<Option<u32>>);

impl<'de> DeserializeSeed<'de> for LimitedValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        self.0.set(self.0.get().and_then(|left| left.checked_sub(1)));
        if self.0.get().is_none() {
            return Err(serde::de::Error::custom("too many values"));
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LimitedValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = vec![];
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            values.insert(name, members.next_value_seed(self)?);
        }
        Ok(values.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_value_is_read_and_counted() {
        let text = r#"{"a": [1, -2, 0.5, true, null], "b": {"c": "\u00e9"}}"#;

        let (value, values) = parse(text, 9).unwrap();

        assert_eq!(value, json!({"a": [1, -2, 0.5, true, null], "b": {"c": "é"}}));
        assert_eq!(values, 9);
    }

    #[test]
    fn one_value_too_many_is_rejected() {
        assert!(matches!(parse("[1, 2]", 2), Err(LimitedJsonError::TooManyValues)));
        assert!(matches!(parse("{\"a\": {}}", 1), Err(LimitedJsonError::TooManyValues)));
        assert!(matches!(parse("[1, 2", 3), Err(LimitedJsonError::Malformed(_))));
        assert!(matches!(parse("[1, 2] 3", 3), Err(LimitedJsonError::Malformed(_))));
    }

    #[test]
    fn the_last_of_several_members_with_one_name_counts() {
        assert_eq!(parse(r#"{"a": 1, "a": [2]}"#, 9).unwrap(), (json!({"a": [2]}), 4));
    }

    #[test]
    fn json_nested_deeper_than_127_levels_is_rejected() {
        let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);

        assert!(parse(&nested(127), 1_000).is_ok());
        assert!(matches!(parse(&nested(100_000), 1_000), Err(LimitedJsonError::Malformed(_))));
    }

    #[test]
    fn json_in_a_string_stays_a_string() {
        let (value, values) = parse(r#"{"$serde_json::private::RawValue": "[1, 2]"}"#, 9).unwrap();

        assert_eq!(value, json!({"$serde_json::private::RawValue": "[1, 2]"}));
        assert_eq!(values, 2);
    }
}
