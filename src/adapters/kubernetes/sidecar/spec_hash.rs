//! A digest of everything in a spec that only a new pod picks up.
//!
//! It is computed from the meaning of the spec, not from the container: another release of the operator
//! may build another container, which must not make any pod outdated. Every field counts with
//! its value, whether that is a default or not: the defaults of a served version never change, and
//! the API server stores them with the object. A field that a later release adds is unknown to the
//! objects and digests of before, so it is left out where it has the value it was introduced with;
//! [`ADDED_FIELDS`] lists such fields, and only grows.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;

use crate::adapters::kubernetes::resource::{
    ApplicationSpec, DurationString, ReceiverSpec, ResourceAmounts, TraceBufferSpec,
};
use crate::domain::operator::quantity::{self, QuantityError};
use crate::domain::units::Milliseconds;

/// The fields that were added after the first release, as JSON pointers, and the JSON values that
/// they were introduced with. A field that is absent where it is unset is none of them.
///
/// A pointer does not reach into lists: a field that is added to an item of a list must be an
/// `Option` that is not serialized while it is unset.
///
/// Frozen: an entry that is changed or removed makes every pod outdated whose `TraceBuffer` has it.
const ADDED_FIELDS: &[(&str, &str)] = &[];

const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// Returns 32 hexadecimal digits, equal for specs with the same meaning.
pub(super) fn spec_hash(spec: &TraceBufferSpec) -> String {
    let mut meaning = canonical_json(spec);
    remove_introduced_defaults(&mut meaning, ADDED_FIELDS);
    meaning.sort_all_objects();
    format!("{:032x}", fnv1a(meaning.to_string().as_bytes()))
}

/// FNV-1a of 128 bits: a collision is no attack, and no release may change the algorithm.
fn fnv1a(bytes: &[u8]) -> u128 {
    bytes.iter().fold(FNV_OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(FNV_PRIME))
}

/// Returns `spec` without the fields that running pods follow or do not use, with normalized numbers.
fn canonical_json(spec: &TraceBufferSpec) -> Value {
    let mut spec = spec.clone();
    // Optional, but with a default inside.
    spec.application = spec.application.filter(|given| *given != ApplicationSpec::default());
    normalize_quantity(&mut spec.destination.batch.max_bytes, quantity::parse_value);
    let ReceiverSpec { max_request_bytes, max_head_bytes, .. } = &mut spec.receiver;
    for bytes in [max_request_bytes, max_head_bytes].into_iter().flatten() {
        normalize_quantity(bytes, quantity::parse_value);
    }
    let resources = spec.sidecar.resources.iter_mut();
    for amounts in resources.flat_map(|given| [&mut given.requests, &mut given.limits]).flatten() {
        normalize_amounts(amounts);
    }
    // Serialization fails only for a map whose keys are not strings.
    let mut meaning = serde_json::to_value(&spec).unwrap_or_default();
    normalize_duration(&mut meaning, "/destination/batch/linger", &spec.destination.batch.linger);
    normalize_duration(&mut meaning, "/destination/timeout", &spec.destination.timeout);
    if let Some(age) = &spec.destination.connection_max_age {
        normalize_duration(&mut meaning, "/destination/connectionMaxAge", age);
    }
    normalize_duration(&mut meaning, "/drainTimeout", &spec.drain_timeout);
    if let Some(members) = meaning.as_object_mut() {
        members.retain(|name, _| !["allowedNamespaces", "rollout"].contains(&name.as_str()));
    }
    if let Some(Value::Object(buffer)) = meaning.get_mut("buffer") {
        buffer.retain(|name, _| name == "overflow");
    }
    meaning
}

fn normalize_amounts(amounts: &mut ResourceAmounts) {
    let ResourceAmounts { cpu, memory, ephemeral_storage } = amounts;
    for (amount, read) in [
        (cpu, quantity::parse_milli_value as fn(&str) -> Result<u64, QuantityError>),
        (memory, quantity::parse_value),
        (ephemeral_storage, quantity::parse_value),
    ] {
        if let Some(amount) = amount {
            normalize_quantity(amount, read);
        }
    }
}

fn normalize_quantity(quantity: &mut Quantity, read: fn(&str) -> Result<u64, QuantityError>) {
    if let Ok(number) = read(&quantity.0) {
        quantity.0 = number.to_string();
    }
}

/// Replaces a duration by its number of milliseconds.
fn normalize_duration(meaning: &mut Value, pointer: &str, time: &DurationString) {
    if let (Some(place), Ok(Milliseconds(length))) =
        (meaning.pointer_mut(pointer), time.to_milliseconds())
    {
        *place = length.into();
    }
}

/// Removes each of the `added` fields that has the value it was introduced with.
fn remove_introduced_defaults(meaning: &mut Value, added: &[(&str, &str)]) {
    for (pointer, introduced) in added {
        let Some((parent, name)) = pointer.rsplit_once('/') else { continue };
        let Some(Value::Object(members)) = meaning.pointer_mut(parent) else { continue };
        let introduced = serde_json::from_str::<Value>(introduced).ok();
        if members.get(name) == introduced.as_ref() {
            members.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_added_field_counts_only_beside_the_value_it_was_introduced_with() {
        let added: &[(&str, &str)] = &[("/destination/fallback", "\"None\""), ("/retries", "3")];
        for (written, counted) in [
            (
                json!({"destination": {"fallback": "None"}, "retries": 3}),
                json!({"destination": {}}),
            ),
            (
                json!({"destination": {"fallback": "Other"}, "retries": 4}),
                json!({"destination": {"fallback": "Other"}, "retries": 4}),
            ),
            (json!({}), json!({})),
        ] {
            let mut meaning = written;

            remove_introduced_defaults(&mut meaning, added);

            assert_eq!(meaning, counted);
        }
    }

    #[test]
    fn the_list_of_added_fields_only_grows() {
        // Append to both; see the constant.
        let frozen: &[(&str, &str)] = &[];

        assert_eq!(ADDED_FIELDS.get(..frozen.len()), Some(frozen));
    }
}
