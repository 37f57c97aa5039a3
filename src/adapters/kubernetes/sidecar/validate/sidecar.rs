//! `spec.sidecar`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::validator::Validator;
use crate::adapters::kubernetes::resource::{
    ResourceAmounts, SidecarResources, SidecarSecurityContext, SidecarSpec,
};
use crate::adapters::kubernetes::sidecar::validated::RunAs;
use crate::domain::bounds::Bounds;
use crate::domain::operator::quantity::{self, QuantityError};
use crate::domain::text::quoted;
use crate::domain::units::ByteSize;

/// Maximum length of an image reference.
const MAX_IMAGE: usize = 512;
/// Minimum memory of the program without its buffer: with less it is killed while idle.
const MIN_PROGRAM_BYTES: u64 = 8 << 20;
/// A user or group that is not root; Linux and Kubernetes count them in 31 bits.
const ID: Bounds = Bounds { min: 1, max: i32::MAX as u64 };
/// The default user and group, which distroless images call `nonroot`.
const NONROOT_ID: i64 = 65_532;

type AmountField = fn(&ResourceAmounts) -> Option<&Quantity>;
type ParseQuantity = fn(&str) -> Result<u64, QuantityError>;

/// Validates the container's settings; returns its user and group.
pub(super) fn validate(
    validator: &mut Validator,
    sidecar: &SidecarSpec,
    max_bytes: Option<u64>,
) -> Option<RunAs> {
    if let Some(image) = &sidecar.image {
        validate_image(validator, image);
    }
    for (index, secret) in sidecar.image_pull_secrets.iter().enumerate() {
        validator.object_name(&format!("sidecar.imagePullSecrets[{index}].name"), &secret.name);
    }
    if let Some(given) = &sidecar.resources {
        validate_resources(validator, given, max_bytes);
    }
    run_as(validator, sidecar.security_context.as_ref())
}

fn validate_image(validator: &mut Validator, image: &str) {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@".contains(&byte);
    let is_name = (1..=MAX_IMAGE).contains(&image.len())
        && image.bytes().all(is_inner)
        && image.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && !image.contains("//");
    if !is_name {
        let found = quoted(image);
        let allowed = "an image such as registry.example/tracebuffer:1.0, without a scheme";
        validator.add_spec_error("sidecar.image", format!("must be {allowed}; it is {found}"));
    }
}

/// Rejects what the API server would reject in a pod, where it would prevent the pod itself.
fn validate_resources(validator: &mut Validator, given: &SidecarResources, max_bytes: Option<u64>) {
    let amounts: [(&str, AmountField, ParseQuantity); 3] = [
        ("cpu", |amounts| amounts.cpu.as_ref(), quantity::parse_milli_value),
        ("memory", |amounts| amounts.memory.as_ref(), quantity::parse_value),
        ("ephemeral-storage", |amounts| amounts.ephemeral_storage.as_ref(), quantity::parse_value),
    ];
    for (name, of, read) in amounts {
        let mut amount = |from: &str, amounts: Option<&ResourceAmounts>| {
            let field = format!("sidecar.resources.{from}.{name}");
            validator.quantity(&field, amounts.and_then(of)?, read)
        };
        let request = amount("requests", given.requests.as_ref());
        let limit = amount("limits", given.limits.as_ref());
        if request.zip(limit).is_some_and(|(request, limit)| request > limit) {
            let field = format!("sidecar.resources.requests.{name}");
            validator
                .add_spec_error(&field, format!("must be at most sidecar.resources.limits.{name}"));
        }
        if let ("memory", Some(limit), Some(max_bytes)) = (name, limit, max_bytes) {
            validate_memory_limit(validator, limit, max_bytes);
        }
    }
}

/// Rejects a memory limit that a full buffer is certain to exceed.
fn validate_memory_limit(validator: &mut Validator, limit: u64, max_bytes: u64) {
    let least = max_bytes.saturating_add(MIN_PROGRAM_BYTES);
    if limit < least {
        let (least, limit, max_bytes) = (ByteSize(least), ByteSize(limit), ByteSize(max_bytes));
        let why = format!(
            "must be at least {least}, or the sidecar is killed before its buffer of {max_bytes} \
             is full; it is {limit}: raise it, or lower buffer.maxBytes"
        );
        validator.add_spec_error("sidecar.resources.limits.memory", why);
    }
}

fn run_as(validator: &mut Validator, given: Option<&SidecarSecurityContext>) -> Option<RunAs> {
    const FIELD: &str = "sidecar.securityContext";
    let Some(SidecarSecurityContext { run_as_user, run_as_group }) = given else {
        return Some(RunAs { user: Some(NONROOT_ID), group: Some(NONROOT_ID) });
    };
    let mut id = |name: &str, id: Option<i64>| match id {
        Some(id) => validator.integer(&format!("{FIELD}.{name}"), id, ID).map(Some),
        None => Some(None),
    };
    let user = id("runAsUser", *run_as_user);
    let group = id("runAsGroup", run_as_group.or(*run_as_user));
    Some(RunAs { user: user?, group: group? })
}
