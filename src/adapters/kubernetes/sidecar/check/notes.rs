//! Reads single values, and notes every one that will not do.

use std::ops::RangeInclusive;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::adapters::kubernetes::resource::mistakes::{Mistake, Mistakes};
use crate::adapters::kubernetes::resource::{Duration, KeyReference};
use crate::domain::labels::is_subdomain;
use crate::domain::quantity::{self, QuantityError};
use crate::domain::units::{ByteSize, Milliseconds};

/// Most characters of a name of an object.
const MAX_NAME: usize = 253;
/// Most characters of a value that a message shows.
const MAX_SHOWN: usize = 60;

/// The mistakes found so far. A value that will not do is noted and read as `None`.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Mistake>);

impl Notes {
    /// Notes a mistake in a field of the spec.
    pub(super) fn note(&mut self, field: &str, why: impl Into<String>) {
        self.note_in(&format!("spec.{field}"), why);
    }

    /// Notes a mistake in a field of the object.
    pub(super) fn note_in(&mut self, field: &str, why: impl Into<String>) {
        self.0.push(Mistake { field: field.to_owned(), why: why.into() });
    }

    /// Returns what was built, unless a mistake was noted on the way.
    pub(super) fn finish<T>(self, built: Option<T>) -> Result<T, Mistakes> {
        match built {
            Some(built) if self.0.is_empty() => Ok(built),
            _ => Err(Mistakes(self.0)),
        }
    }

    /// Reads a whole number.
    pub(super) fn count<N>(
        &mut self,
        field: &str,
        number: impl Into<i64>,
        allowed: RangeInclusive<i64>,
    ) -> Option<N>
    where
        N: TryFrom<i64>,
    {
        let number = number.into();
        let found = allowed.contains(&number).then(|| N::try_from(number).ok()).flatten();
        if found.is_none() {
            let (min, max) = allowed.into_inner();
            self.note(field, format!("must be from {min} to {max}; it is {number}"));
        }
        found
    }

    /// Reads a number of bytes.
    pub(super) fn size(
        &mut self,
        field: &str,
        quantity: &Quantity,
        allowed: RangeInclusive<u64>,
    ) -> Option<u64> {
        let why = match quantity::units(&quantity.0) {
            Ok(bytes) if allowed.contains(&bytes) => return Some(bytes),
            Ok(_) => String::new(),
            Err(error) => format!(", and {error}"),
        };
        let (min, max) = allowed.into_inner();
        let (min, max, found) = (ByteSize(min), ByteSize(max), shown(&quantity.0));
        let allowed = format!("a quantity from {min} to {max}, such as 32Mi");
        self.note(field, format!("must be {allowed}; it is {found}{why}"));
        None
    }

    /// Reads an amount that Kubernetes will take, whatever its size.
    pub(super) fn amount(
        &mut self,
        field: &str,
        amount: &Quantity,
        read: fn(&str) -> Result<u64, QuantityError>,
    ) -> Option<u64> {
        let why = match read(&amount.0) {
            Ok(amount) => return Some(amount),
            Err(error) => error,
        };
        let found = shown(&amount.0);
        self.note(
            field,
            format!("must be a quantity, such as 100m or 64Mi; it is {found}, and {why}"),
        );
        None
    }

    /// Reads a length of time, in milliseconds.
    pub(super) fn time(
        &mut self,
        field: &str,
        time: &Duration,
        allowed: RangeInclusive<u64>,
    ) -> Option<u64> {
        let why = match time.length() {
            Ok(Milliseconds(length)) if allowed.contains(&length) => return Some(length),
            Ok(_) => String::new(),
            Err(error) => format!(", and {error}"),
        };
        let (min, max) = allowed.into_inner();
        let (min, max, found) = (Milliseconds(min), Milliseconds(max), shown(&time.0));
        let allowed = format!("a duration from {min} to {max}, such as 1m30s");
        self.note(field, format!("must be {allowed}; it is {found}{why}"));
        None
    }

    /// Reads the name of an object.
    pub(super) fn object_name(&mut self, field: &str, name: &str) -> Option<()> {
        self.name_if(field, name, is_subdomain(name), "of lower case letters, digits, '-' and '.'")
    }

    /// Reads a key of a Secret or `ConfigMap`.
    pub(super) fn key(&mut self, field: &str, key: &str) -> Option<()> {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_key = (1..=MAX_NAME).contains(&key.len())
            && key.bytes().all(is_inner)
            && key != "."
            && !key.starts_with("..");
        self.name_if(field, key, is_key, "of letters, digits, '-', '_' and '.'")
    }

    /// Reads a reference to a key.
    pub(super) fn reference(&mut self, field: &str, reference: &KeyReference) -> Option<()> {
        let name = self.object_name(&format!("{field}.name"), &reference.name);
        let key = self.key(&format!("{field}.key"), &reference.key);
        name.and(key)
    }

    fn name_if(&mut self, field: &str, name: &str, is_one: bool, of: &str) -> Option<()> {
        if !is_one {
            let found = shown(name);
            self.note(field, format!("must be a name {of}; it is {found}"));
        }
        is_one.then_some(())
    }
}

/// Quotes a value, the end of a long one cut off.
pub(super) fn shown(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN {
        return format!("{text:?}");
    }
    format!("{:?}…", text.chars().take(MAX_SHOWN).collect::<String>())
}
