//! Whether a spec makes sense: the first half of building a sidecar.
//!
//! Every field is looked at, whatever the schema has refused before: an object may be older than
//! the schema, or be in no cluster at all.

mod destination;
mod headers;
mod namespaces;
mod sidecar;
mod validator;

use self::validator::Validator;
use super::SidecarLimits;
use super::validated::ValidatedSpec;
use crate::adapters::kubernetes::resource::validation::ValidationErrors;
use crate::adapters::kubernetes::resource::{
    ReceiverSpec, RolloutSpec, TraceBuffer, TraceBufferSpec,
};
use crate::domain::operator::injection::request::{OPT_IN_VALUES, OPT_OUT_VALUES};
use crate::domain::operator::injection::trace_buffer_view::SidecarPorts;
use crate::domain::units::ByteSize;

const KI: u64 = 1 << 10;
const MI: u64 = 1 << 20;
const GI: u64 = 1 << 30;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Reads a `TraceBuffer`. No token may be for one of `api_audiences`.
///
/// # Errors
///
/// Every mistake in it.
pub(super) fn validate(
    object: &TraceBuffer,
    api_audiences: &[String],
) -> Result<ValidatedSpec, ValidationErrors> {
    let spec = &object.spec;
    let mut notes = Validator::default();
    validate_name(&mut notes, object.metadata.name.as_deref().unwrap_or_default());
    let limits = limits(&mut notes, spec);
    let ports = ports(&mut notes, &spec.receiver);
    let destination = destination::validate(&mut notes, &spec.destination, ports, api_audiences);
    let max_bytes = limits.map(|limits| limits.max_bytes);
    let max_request_bytes = max_request_bytes(&mut notes, &spec.receiver, max_bytes);
    let user = sidecar::validate(&mut notes, &spec.sidecar, max_bytes);
    let allowed_namespaces = namespaces::validate(&mut notes, &spec.allowed_namespaces);
    rollout(&mut notes, &spec.rollout);
    let drain_ms = notes.duration("drainTimeout", &spec.drain_timeout, 0..=HOUR);
    let all = || {
        Some(ValidatedSpec {
            limits: limits?,
            ports: ports?,
            destination: destination?,
            max_request_bytes: max_request_bytes.ok()?,
            user: user?,
            allowed_namespaces: allowed_namespaces?,
            drain_timeout_ms: drain_ms?,
        })
    };
    let checked = all();
    notes.finish(checked)
}

/// Refuses names that mean something else where a `TraceBuffer` is named.
fn validate_name(notes: &mut Validator, name: &str) {
    if OPT_IN_VALUES.contains(&name) || OPT_OUT_VALUES.contains(&name) {
        let why = format!(
            "must not be {name:?}, which has another meaning in the annotation \
             tracebuffer.dev/inject"
        );
        notes.add_error("metadata.name", why);
    }
}

fn limits(notes: &mut Validator, spec: &TraceBufferSpec) -> Option<SidecarLimits> {
    let buffer = &spec.buffer;
    let max_spans = notes.integer("buffer.maxSpans", buffer.max_spans, 1..=1_000_000_000);
    let max_bytes = notes.byte_size("buffer.maxBytes", &buffer.max_bytes, 64 * KI..=64 * GI);
    let max_age = buffer.max_age.as_ref();
    let max_age_ms =
        optional(max_age, |age| notes.duration("buffer.maxAge", age, 100..=720 * HOUR));
    Some(SidecarLimits {
        max_spans: max_spans?,
        max_bytes: max_bytes?,
        max_age_ms: max_age_ms.ok()?,
    })
}

fn ports(notes: &mut Validator, receiver: &ReceiverSpec) -> Option<SidecarPorts> {
    let fields = [
        ("receiver.grpcPort", receiver.grpc_port),
        ("receiver.httpPort", receiver.http_port),
        ("receiver.adminPort", receiver.admin_port),
    ];
    let [grpc, http, admin] = fields.map(|(field, port)| notes.integer(field, port, 1..=65_535));
    for (index, (field, port)) in fields.iter().enumerate() {
        if let Some((other, _)) = fields.iter().take(index).find(|(_, earlier)| earlier == port) {
            notes.add_spec_error(field, format!("must not be {port}, which {other} is already"));
        }
    }
    Some(SidecarPorts { grpc: grpc?, http: http?, admin: admin? })
}

/// Reads the bound of a request; unset, it gives way to a smaller buffer by itself.
fn max_request_bytes(
    notes: &mut Validator,
    receiver: &ReceiverSpec,
    max_bytes: Option<u64>,
) -> Result<Option<u64>, ErrorReported> {
    const FIELD: &str = "receiver.maxRequestBytes";
    let asked = optional(receiver.max_request_bytes.as_ref(), |quantity| {
        notes.byte_size(FIELD, quantity, KI..=64 * MI)
    })?;
    if let (Some(asked), Some(most)) = (asked, max_bytes)
        && asked > most
    {
        let (asked, most) = (ByteSize(asked), ByteSize(most));
        notes.add_spec_error(
            FIELD,
            format!("must be at most buffer.maxBytes, which is {most}; it is {asked}"),
        );
    }
    Ok(asked)
}

fn rollout(notes: &mut Validator, rollout: &RolloutSpec) {
    notes.integer::<u8>("rollout.maxConcurrent", rollout.max_concurrent, 1..=100);
    notes.duration("rollout.interval", &rollout.interval, 0..=24 * HOUR);
}

/// A value that is set and will not do, which has been noted.
struct ErrorReported;

/// Reads what may be unset.
fn optional<T, R>(
    value: Option<T>,
    read: impl FnOnce(T) -> Option<R>,
) -> Result<Option<R>, ErrorReported> {
    value.map(|value| read(value).ok_or(ErrorReported)).transpose()
}
