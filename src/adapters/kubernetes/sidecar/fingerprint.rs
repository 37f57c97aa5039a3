//! A digest of what a pod can take up only by being created anew.
//!
//! It is made from the spec's meaning, not from the container: another release of the operator may
//! build another container, and must not make a single pod outdated by that. What equals its
//! default is left out, so that a later release can add fields without changing any digest.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;

use crate::adapters::kubernetes::resource::{Amounts, Buffer, Rollout, Time, TraceBufferSpec};
use crate::domain::quantity::{self, QuantityError};

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// Returns 32 hexadecimal digits; the same for specs that mean the same.
pub(super) fn fingerprint(spec: &TraceBufferSpec) -> String {
    let mut meaning = json(spec);
    leave_out(&mut meaning, &json(&TraceBufferSpec::sending_to("")));
    meaning.sort_all_objects();
    format!("{:032x}", fnv1a(meaning.to_string().as_bytes()))
}

/// FNV-1a of 128 bits: nobody gains by a collision, and no release may change it.
fn fnv1a(bytes: &[u8]) -> u128 {
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// Returns `spec` without what running pods follow or never see, every number in one form.
fn json(spec: &TraceBufferSpec) -> Value {
    let mut spec = spec.clone();
    spec.buffer = Buffer { overflow: spec.buffer.overflow, ..Buffer::default() };
    spec.allowed_namespaces.clear();
    spec.rollout = Rollout::default();
    count(&mut spec.destination.batch.max_bytes, quantity::units);
    time(&mut spec.destination.batch.linger);
    time(&mut spec.destination.timeout);
    time(&mut spec.drain_timeout);
    if let Some(bytes) = &mut spec.receiver.max_request_bytes {
        count(bytes, quantity::units);
    }
    let resources = spec.sidecar.resources.iter_mut();
    for amounts in resources.flat_map(|given| [&mut given.requests, &mut given.limits]).flatten() {
        count_all(amounts);
    }
    // Only a map without text for keys could fail.
    serde_json::to_value(&spec).unwrap_or_default()
}

fn count_all(amounts: &mut Amounts) {
    let Amounts { cpu, memory, ephemeral_storage } = amounts;
    for (amount, read) in [
        (cpu, quantity::thousandths as fn(&str) -> Result<u64, QuantityError>),
        (memory, quantity::units),
        (ephemeral_storage, quantity::units),
    ] {
        if let Some(amount) = amount {
            count(amount, read);
        }
    }
}

fn count(quantity: &mut Quantity, read: fn(&str) -> Result<u64, QuantityError>) {
    if let Ok(number) = read(&quantity.0) {
        quantity.0 = number.to_string();
    }
}

fn time(time: &mut Time) {
    if let Ok(length) = time.length() {
        *time = length.into();
    }
}

/// Removes from `value` every member that `default` has alike.
fn leave_out(value: &mut Value, default: &Value) {
    let (Value::Object(members), Value::Object(defaults)) = (value, default) else { return };
    members.retain(|name, member| {
        let Some(default) = defaults.get(name) else { return true };
        leave_out(member, default);
        member != default && !member.as_object().is_some_and(serde_json::Map::is_empty)
    });
}
