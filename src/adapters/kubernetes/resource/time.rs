//! A length of time in a spec.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::rules;
use crate::domain::units::{Milliseconds, UnitError};

/// A length of time such as `1h30m`, as it was written.
///
/// Kept as text so that one that makes no sense is a mistake with a name, not an object that cannot
/// be read at all.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct Time(
    /// The text.
    pub String,
);

impl Time {
    /// Returns how long it is.
    ///
    /// # Errors
    ///
    /// [`UnitError`] if it is no length of time.
    pub fn length(&self) -> Result<Milliseconds, UnitError> {
        self.0.parse()
    }
}

impl From<Milliseconds> for Time {
    fn from(length: Milliseconds) -> Self {
        Self(length.to_string())
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        rules::duration_schema()
    }
}
