//! Resource requests and limits of a sidecar.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::validated::ValidatedSpec;
use crate::adapters::kubernetes::resource::{
    CompressionSpec, ResourceAmounts, SidecarResources, TraceBufferSpec,
};
use crate::adapters::server::PortLimits;
use crate::domain::units::ByteSize;

const MI: u64 = 1 << 20;

/// Memory of the program, of the requests being read and of all connections with heads of the default
/// maximum size, and of a `tracebuffer flush` beside it.
const PROGRAM_BYTES: u64 = 20 * MI;
/// The default maximum size of a request.
const DEFAULT_REQUEST_BYTES: u64 = 4 * MI;
/// The allocator's part of the buffer: one eighth. Measured: less than a tenth.
const ALLOCATOR_DIVISOR: u64 = 8;
/// Memory of a compressor and its buffers, which exist only while a batch is compressed.
const COMPRESSOR_BYTES: u64 = 4 * MI;
/// Memory of an unfinished HTTP/2 head of many small headers, in multiples of the maximum size. Every
/// connection can have one.
const HEAD_FACTOR: u64 = 5;
/// Ports for OTLP.
const OTLP_PORTS: u64 = 2;
/// Enough for an idle sidecar; a busy one uses the CPU that is free on the node.
const CPU_REQUEST: &str = "10m";
/// Enough for an ordinary log. There is no limit, because the kubelet applies the sum of the containers'
/// limits to the whole pod: it would evict an application that has none of its own.
const STORAGE_REQUEST: &str = "16Mi";

/// Returns the resources of `spec` verbatim, or else those that its limits require.
pub(super) fn resources(spec: &TraceBufferSpec, checked: &ValidatedSpec) -> ResourceRequirements {
    match &spec.sidecar.resources {
        Some(given) => explicit_resources(given),
        None => default_resources(memory_bytes(spec, checked)),
    }
}

/// Returns the memory that a full buffer and all connections need, in bytes, rounded up to Mi:
/// maxBytes and an eighth of it, twice the largest request, 20Mi for the program, for each connection
/// five times what a head may have beyond the default, and with compression a batch and 4Mi for each
/// request in flight.
pub(super) fn memory_bytes(spec: &TraceBufferSpec, checked: &ValidatedSpec) -> u64 {
    let buffer = checked.limits.max_bytes.get();
    let request = checked.max_request_bytes.unwrap_or(DEFAULT_REQUEST_BYTES.min(buffer));
    let compression = match spec.destination.compression {
        CompressionSpec::None => 0,
        CompressionSpec::Gzip | CompressionSpec::Zstd => {
            let concurrency = checked.destination.concurrency;
            let share = checked.limits.max_batch_charge(concurrency);
            (checked.destination.batch_max_bytes.min(share) + COMPRESSOR_BYTES) * concurrency
        }
    };
    let buffer = buffer + buffer / ALLOCATOR_DIVISOR;
    let total = PROGRAM_BYTES + buffer + 2 * request + larger_heads(checked) + compression;
    total.next_multiple_of(MI)
}

/// Returns the memory, in bytes, that unfinished heads of all connections need beyond that for heads of
/// the default maximum size. The table of headers doubles when it grows.
fn larger_heads(checked: &ValidatedSpec) -> u64 {
    let PortLimits { max_head_bytes: default, connections, .. } = PortLimits::OTLP;
    let size = checked.max_head_bytes.unwrap_or(0).next_power_of_two();
    let beyond = size.saturating_sub(default.into());
    beyond * HEAD_FACTOR * OTLP_PORTS * connections as u64
}

fn default_resources(memory_bytes: u64) -> ResourceRequirements {
    let memory = Quantity(ByteSize(memory_bytes).to_string());
    let of = |name: &str, quantity: &str| (name.to_owned(), Quantity(quantity.to_owned()));
    let memory = ("memory".to_owned(), memory);
    let requests =
        [of("cpu", CPU_REQUEST), of("ephemeral-storage", STORAGE_REQUEST), memory.clone()];
    let limits = [memory];
    ResourceRequirements {
        requests: Some(requests.into()),
        limits: Some(limits.into()),
        claims: None,
    }
}

fn explicit_resources(given: &SidecarResources) -> ResourceRequirements {
    ResourceRequirements {
        requests: given.requests.as_ref().map(resource_list),
        limits: given.limits.as_ref().map(resource_list),
        claims: None,
    }
}

fn resource_list(amounts: &ResourceAmounts) -> BTreeMap<String, Quantity> {
    let each = [
        ("cpu", &amounts.cpu),
        ("memory", &amounts.memory),
        ("ephemeral-storage", &amounts.ephemeral_storage),
    ];
    let set = |(name, amount): (&str, &Option<Quantity>)| Some((name.to_owned(), amount.clone()?));
    each.into_iter().filter_map(set).collect()
}
