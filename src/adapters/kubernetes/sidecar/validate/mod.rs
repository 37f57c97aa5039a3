//! Whether a spec makes sense: the first half of building a sidecar.
//!
//! Every field is looked at, whatever the schema has refused before: an object may be older than
//! the schema, or be in no cluster at all.

mod destination;
mod headers;
mod namespaces;
mod sidecar;
mod validator;

use std::num::NonZeroU64;
use std::time::Duration;

use self::validator::Validator;
use super::validated::ValidatedSpec;
use crate::adapters::kubernetes::resource::validation::ValidationErrors;
use crate::adapters::kubernetes::resource::{
    ReceiverSpec, RolloutSpec, TraceBuffer, TraceBufferSpec,
};
use crate::domain::bounds::{self, Bounds};
use crate::domain::limits::BufferLimits;
use crate::domain::operator::injection::request::{OPT_IN_VALUES, OPT_OUT_VALUES};
use crate::domain::operator::injection::trace_buffer_view::SidecarPorts;
use crate::domain::units::ByteSize;

/// Restarts at a time.
const ROLLOUT_MAX_CONCURRENT: Bounds = Bounds { min: 1, max: 100 };
/// Milliseconds between two restarts.
const ROLLOUT_INTERVAL: Bounds = Bounds { min: 0, max: 24 * 3_600_000 };
/// A TCP port that can be listened on.
const PORT: Bounds = Bounds { min: 1, max: 65_535 };

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
    let max_bytes = limits.map(|limits| limits.max_bytes.get());
    let max_request_bytes = max_request_bytes(&mut notes, &spec.receiver, max_bytes);
    let user = sidecar::validate(&mut notes, &spec.sidecar, max_bytes);
    let allowed_namespaces = namespaces::validate(&mut notes, &spec.allowed_namespaces);
    rollout(&mut notes, &spec.rollout);
    let drain_ms = notes.duration("drainTimeout", &spec.drain_timeout, bounds::DRAIN_TIMEOUT);
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

fn limits(notes: &mut Validator, spec: &TraceBufferSpec) -> Option<BufferLimits> {
    let buffer = &spec.buffer;
    let max_spans = notes.integer("buffer.maxSpans", buffer.max_spans, bounds::MAX_SPANS);
    let max_bytes = notes.byte_size("buffer.maxBytes", &buffer.max_bytes, bounds::MAX_BYTES);
    let max_age = buffer.max_age.as_ref();
    let max_age_ms = optional(max_age, |age| notes.duration("buffer.maxAge", age, bounds::MAX_AGE));
    Some(BufferLimits {
        max_spans: NonZeroU64::new(max_spans?)?,
        max_bytes: NonZeroU64::new(max_bytes?)?,
        max_age: max_age_ms.ok()?.map(Duration::from_millis),
    })
}

fn ports(notes: &mut Validator, receiver: &ReceiverSpec) -> Option<SidecarPorts> {
    let fields = [
        ("receiver.grpcPort", receiver.grpc_port),
        ("receiver.httpPort", receiver.http_port),
        ("receiver.adminPort", receiver.admin_port),
    ];
    let [grpc, http, admin] = fields.map(|(field, port)| notes.integer(field, port, PORT));
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
        notes.byte_size(FIELD, quantity, bounds::MAX_REQUEST_BYTES)
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
    notes.integer::<u8>("rollout.maxConcurrent", rollout.max_concurrent, ROLLOUT_MAX_CONCURRENT);
    notes.duration("rollout.interval", &rollout.interval, ROLLOUT_INTERVAL);
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
