//! `spec.sidecar`: what the pod's other parts must get along with.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::MI;
use super::notes::{Notes, shown};
use crate::adapters::kubernetes::resource::{Amounts, Resources, Sidecar, SidecarSecurityContext};
use crate::adapters::kubernetes::sidecar::checked::User;
use crate::domain::quantity::{self, QuantityError};
use crate::domain::units::ByteSize;

/// Most characters of an image's name.
const MAX_IMAGE: usize = 512;
/// Memory of the program beside what it buffers: with less it cannot even idle.
const PROGRAM_BYTES: u64 = 8 * MI;
/// The user and group where none is given; what distroless images call `nonroot`.
const NONROOT: i64 = 65_532;

type Of = fn(&Amounts) -> Option<&Quantity>;
type Read = fn(&str) -> Result<u64, QuantityError>;

/// Reads the container's settings; returns what it runs as.
pub(super) fn check(notes: &mut Notes, sidecar: &Sidecar, max_bytes: Option<u64>) -> Option<User> {
    if let Some(image) = &sidecar.image {
        image_name(notes, image);
    }
    for (index, secret) in sidecar.image_pull_secrets.iter().enumerate() {
        notes.object_name(&format!("sidecar.imagePullSecrets[{index}].name"), &secret.name);
    }
    if let Some(given) = &sidecar.resources {
        resources(notes, given, max_bytes);
    }
    user(notes, sidecar.security_context.as_ref())
}

fn image_name(notes: &mut Notes, image: &str) {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@".contains(&byte);
    let is_name = (1..=MAX_IMAGE).contains(&image.len())
        && image.bytes().all(is_inner)
        && image.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && !image.contains("//");
    if !is_name {
        let found = shown(image);
        let allowed = "an image such as registry.example/tracebuffer:1.0, without a scheme";
        notes.note("sidecar.image", format!("must be {allowed}; it is {found}"));
    }
}

/// Refuses what the API server would refuse in a pod: there it would cost the pod, not the sidecar.
fn resources(notes: &mut Notes, given: &Resources, max_bytes: Option<u64>) {
    let amounts: [(&str, Of, Read); 3] = [
        ("cpu", |amounts| amounts.cpu.as_ref(), quantity::thousandths),
        ("memory", |amounts| amounts.memory.as_ref(), quantity::units),
        ("ephemeral-storage", |amounts| amounts.ephemeral_storage.as_ref(), quantity::units),
    ];
    for (name, of, read) in amounts {
        let mut amount = |from: &str, amounts: Option<&Amounts>| {
            let field = format!("sidecar.resources.{from}.{name}");
            notes.amount(&field, amounts.and_then(of)?, read)
        };
        let request = amount("requests", given.requests.as_ref());
        let limit = amount("limits", given.limits.as_ref());
        if request.zip(limit).is_some_and(|(request, limit)| request > limit) {
            let field = format!("sidecar.resources.requests.{name}");
            notes.note(&field, format!("must be at most sidecar.resources.limits.{name}"));
        }
        if let ("memory", Some(limit), Some(max_bytes)) = (name, limit, max_bytes) {
            memory(notes, limit, max_bytes);
        }
    }
}

/// Refuses a limit that a full buffer is sure to exceed.
fn memory(notes: &mut Notes, limit: u64, max_bytes: u64) {
    let least = max_bytes.saturating_add(PROGRAM_BYTES);
    if limit < least {
        let (least, limit, max_bytes) = (ByteSize(least), ByteSize(limit), ByteSize(max_bytes));
        let why = format!(
            "must be at least {least}, or the sidecar is killed before its buffer of {max_bytes} \
             is full; it is {limit}: raise it, or lower buffer.maxBytes"
        );
        notes.note("sidecar.resources.limits.memory", why);
    }
}

fn user(notes: &mut Notes, given: Option<&SidecarSecurityContext>) -> Option<User> {
    const FIELD: &str = "sidecar.securityContext";
    let Some(SidecarSecurityContext { run_as_user, run_as_group }) = given else {
        return Some(User { user: Some(NONROOT), group: Some(NONROOT) });
    };
    let mut id = |name: &str, id: Option<i64>| match id {
        Some(id) => notes.count(&format!("{FIELD}.{name}"), id, 1..=i64::from(i32::MAX)).map(Some),
        None => Some(None),
    };
    let user = id("runAsUser", *run_as_user);
    let group = id("runAsGroup", run_as_group.or(*run_as_user));
    Some(User { user: user?, group: group? })
}
