//! Validation of a spec: the first half of building a sidecar.
//!
//! Every field is checked, even if the schema restricts it already: an object may be older than the
//! schema, or come from a file.

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

/// Concurrent restarts.
const ROLLOUT_MAX_CONCURRENT: Bounds = Bounds { min: 1, max: 100 };
/// Milliseconds between two restarts.
const ROLLOUT_INTERVAL: Bounds = Bounds { min: 0, max: 24 * 3_600_000 };
/// A TCP port that can be listened on.
const PORT: Bounds = Bounds { min: 1, max: 65_535 };

/// Validates a `TraceBuffer`. No token may be for one of `api_audiences`.
///
/// # Errors
///
/// All errors of the spec.
pub(super) fn validate(
    object: &TraceBuffer,
    api_audiences: &[String],
) -> Result<ValidatedSpec, ValidationErrors> {
    let spec = &object.spec;
    let mut validator = Validator::default();
    validate_name(&mut validator, object.metadata.name.as_deref().unwrap_or_default());
    let limits = limits(&mut validator, spec);
    let ports = ports(&mut validator, &spec.receiver);
    let destination =
        destination::validate(&mut validator, &spec.destination, ports, api_audiences);
    let max_bytes = limits.map(|limits| limits.max_bytes.get());
    let max_request_bytes = max_request_bytes(&mut validator, &spec.receiver, max_bytes);
    let max_head_bytes = optional(spec.receiver.max_head_bytes.as_ref(), |quantity| {
        validator.byte_size("receiver.maxHeadBytes", quantity, bounds::MAX_HEAD_BYTES)
    });
    let user = sidecar::validate(&mut validator, &spec.sidecar, max_bytes);
    let allowed_namespaces = namespaces::validate(&mut validator, &spec.allowed_namespaces);
    rollout(&mut validator, &spec.rollout);
    let drain_ms = validator.duration("drainTimeout", &spec.drain_timeout, bounds::DRAIN_TIMEOUT);
    let all = || {
        Some(ValidatedSpec {
            limits: limits?,
            ports: ports?,
            destination: destination?,
            max_request_bytes: max_request_bytes.ok()?,
            max_head_bytes: max_head_bytes.ok()?,
            user: user?,
            allowed_namespaces: allowed_namespaces?,
            drain_timeout_ms: drain_ms?,
        })
    };
    let validated = all();
    validator.finish(validated)
}

/// Rejects names that have another meaning in the annotation that names a `TraceBuffer`.
fn validate_name(validator: &mut Validator, name: &str) {
    if OPT_IN_VALUES.contains(&name) || OPT_OUT_VALUES.contains(&name) {
        let why = format!(
            "must not be {name:?}, which has another meaning in the annotation \
             tracebuffer.dev/inject"
        );
        validator.add_error("metadata.name", why);
    }
}

fn limits(validator: &mut Validator, spec: &TraceBufferSpec) -> Option<BufferLimits> {
    let buffer = &spec.buffer;
    let max_spans = validator.integer("buffer.maxSpans", buffer.max_spans, bounds::MAX_SPANS);
    let max_bytes = validator.byte_size("buffer.maxBytes", &buffer.max_bytes, bounds::MAX_BYTES);
    let max_age = buffer.max_age.as_ref();
    let max_age_ms =
        optional(max_age, |age| validator.duration("buffer.maxAge", age, bounds::MAX_AGE));
    Some(BufferLimits {
        max_spans: NonZeroU64::new(max_spans?)?,
        max_bytes: NonZeroU64::new(max_bytes?)?,
        max_age: max_age_ms.ok()?.map(Duration::from_millis),
    })
}

fn ports(validator: &mut Validator, receiver: &ReceiverSpec) -> Option<SidecarPorts> {
    let fields = [
        ("receiver.grpcPort", receiver.grpc_port),
        ("receiver.httpPort", receiver.http_port),
        ("receiver.adminPort", receiver.admin_port),
    ];
    let [grpc, http, admin] = fields.map(|(field, port)| validator.integer(field, port, PORT));
    for (index, (field, port)) in fields.iter().enumerate() {
        if let Some((other, _)) = fields.iter().take(index).find(|(_, earlier)| earlier == port) {
            validator
                .add_spec_error(field, format!("must not be {port}, which {other} is already"));
        }
    }
    Some(SidecarPorts { grpc: grpc?, http: http?, admin: admin? })
}

/// Validates the maximum size of a request; the default is lowered to the size of the buffer.
fn max_request_bytes(
    validator: &mut Validator,
    receiver: &ReceiverSpec,
    max_bytes: Option<u64>,
) -> Result<Option<u64>, ErrorReported> {
    const FIELD: &str = "receiver.maxRequestBytes";
    let requested = optional(receiver.max_request_bytes.as_ref(), |quantity| {
        validator.byte_size(FIELD, quantity, bounds::MAX_REQUEST_BYTES)
    })?;
    if let (Some(requested), Some(most)) = (requested, max_bytes)
        && requested > most
    {
        let (requested, most) = (ByteSize(requested), ByteSize(most));
        validator.add_spec_error(
            FIELD,
            format!("must be at most buffer.maxBytes, which is {most}; it is {requested}"),
        );
    }
    Ok(requested)
}

fn rollout(validator: &mut Validator, rollout: &RolloutSpec) {
    validator.integer::<u8>(
        "rollout.maxConcurrent",
        rollout.max_concurrent,
        ROLLOUT_MAX_CONCURRENT,
    );
    validator.duration("rollout.interval", &rollout.interval, ROLLOUT_INTERVAL);
}

/// Proof that an invalid value has been recorded.
struct ErrorReported;

/// Validates a value that may be unset.
fn optional<T, R>(
    value: Option<T>,
    read: impl FnOnce(T) -> Option<R>,
) -> Result<Option<R>, ErrorReported> {
    value.map(|value| read(value).ok_or(ErrorReported)).transpose()
}
