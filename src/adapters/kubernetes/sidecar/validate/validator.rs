//! Validates single values and collects the errors.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::adapters::kubernetes::resource::validation::{FieldError, ValidationErrors};
use crate::adapters::kubernetes::resource::{DurationString, KeyReference};
use crate::domain::bounds::Bounds;
use crate::domain::operator::labels::is_dns_subdomain;
use crate::domain::operator::quantity::{self, QuantityError};
use crate::domain::text::quoted;
use crate::domain::units::{ByteSize, Milliseconds};

/// Maximum length of an object's name.
const MAX_NAME: usize = 253;

/// The errors found so far. An invalid value is recorded as an error and becomes `None`.
#[derive(Debug, Default)]
pub(super) struct Validator(Vec<FieldError>);

impl Validator {
    /// Records an error in a field of the spec.
    pub(super) fn add_spec_error(&mut self, field: &str, why: impl Into<String>) {
        self.add_error(&format!("spec.{field}"), why);
    }

    /// Records an error in a field of the object.
    pub(super) fn add_error(&mut self, field: &str, why: impl Into<String>) {
        self.0.push(FieldError { field: field.to_owned(), message: why.into() });
    }

    /// Returns what was built, unless an error was recorded.
    pub(super) fn finish<T>(self, built: Option<T>) -> Result<T, ValidationErrors> {
        match built {
            Some(built) if self.0.is_empty() => Ok(built),
            _ => Err(ValidationErrors(self.0)),
        }
    }

    /// Validates a whole number.
    pub(super) fn integer<N>(
        &mut self,
        field: &str,
        number: impl Into<i64>,
        allowed: Bounds,
    ) -> Option<N>
    where
        N: TryFrom<i64>,
    {
        let number = number.into();
        let is_allowed = u64::try_from(number).is_ok_and(|number| allowed.contains(number));
        let found = is_allowed.then(|| N::try_from(number).ok()).flatten();
        if found.is_none() {
            let Bounds { min, max } = allowed;
            self.add_spec_error(field, format!("must be from {min} to {max}; it is {number}"));
        }
        found
    }

    /// Validates a number of bytes.
    pub(super) fn byte_size(
        &mut self,
        field: &str,
        quantity: &Quantity,
        allowed: Bounds,
    ) -> Option<u64> {
        let why = match quantity::parse_value(&quantity.0) {
            Ok(bytes) if allowed.contains(bytes) => return Some(bytes),
            Ok(_) => String::new(),
            Err(error) => format!(", and {error}"),
        };
        let (min, max, found) = (ByteSize(allowed.min), ByteSize(allowed.max), quoted(&quantity.0));
        let [example, ..] = allowed.size_examples();
        let allowed = format!("a quantity from {min} to {max}, such as {example}");
        self.add_spec_error(field, format!("must be {allowed}; it is {found}{why}"));
        None
    }

    /// Validates a quantity of any size, with the parser of the unit: CPU or bytes.
    pub(super) fn quantity(
        &mut self,
        field: &str,
        amount: &Quantity,
        read: fn(&str) -> Result<u64, QuantityError>,
    ) -> Option<u64> {
        let why = match read(&amount.0) {
            Ok(amount) => return Some(amount),
            Err(error) => error,
        };
        let found = quoted(&amount.0);
        self.add_spec_error(
            field,
            format!("must be a quantity, such as 100m or 64Mi; it is {found}, and {why}"),
        );
        None
    }

    /// Validates a duration; returns milliseconds.
    pub(super) fn duration(
        &mut self,
        field: &str,
        time: &DurationString,
        allowed: Bounds,
    ) -> Option<u64> {
        let why = match time.to_milliseconds() {
            Ok(Milliseconds(length)) if allowed.contains(length) => return Some(length),
            Ok(_) => String::new(),
            Err(error) => format!(", and {error}"),
        };
        let (min, max) = (Milliseconds(allowed.min), Milliseconds(allowed.max));
        let found = quoted(&time.0);
        let allowed = format!("a duration from {min} to {max}, such as 1m30s");
        self.add_spec_error(field, format!("must be {allowed}; it is {found}{why}"));
        None
    }

    /// Validates the name of an object.
    pub(super) fn object_name(&mut self, field: &str, name: &str) -> Option<()> {
        self.check_name(
            field,
            name,
            is_dns_subdomain(name),
            "of lower case letters, digits, '-' and '.'",
        )
    }

    /// Validates a key of a Secret or `ConfigMap`.
    pub(super) fn data_key(&mut self, field: &str, key: &str) -> Option<()> {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_key = (1..=MAX_NAME).contains(&key.len())
            && key.bytes().all(is_inner)
            && key != "."
            && !key.starts_with("..");
        self.check_name(field, key, is_key, "of letters, digits, '-', '_' and '.'")
    }

    /// Validates a reference to a key.
    pub(super) fn key_reference(&mut self, field: &str, reference: &KeyReference) -> Option<()> {
        let name = self.object_name(&format!("{field}.name"), &reference.name);
        let key = self.data_key(&format!("{field}.key"), &reference.key);
        name.and(key)
    }

    fn check_name(&mut self, field: &str, name: &str, is_one: bool, of: &str) -> Option<()> {
        if !is_one {
            let found = quoted(name);
            self.add_spec_error(field, format!("must be a name {of}; it is {found}"));
        }
        is_one.then_some(())
    }
}
