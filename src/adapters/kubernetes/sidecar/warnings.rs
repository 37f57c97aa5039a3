//! Warnings about valid specs that their authors may not have intended.

use super::resources;
use super::validated::{HeaderValueSource, ProjectedFile, ValidatedHeader, ValidatedSpec};
use crate::adapters::kubernetes::resource::validation::FieldError;
use crate::adapters::kubernetes::resource::{FromNamespaces, TraceBufferSpec};
use crate::adapters::messaging::notation::doubt::doubt;
use crate::domain::operator::quantity;
use crate::domain::units::{ByteSize, Milliseconds};

/// Below this, a quarter of the buffer, which is the maximum of a batch, is inefficiently small.
const SMALL_BUFFER_BYTES: u64 = 1 << 20;
const SMALL_BUFFER_SPANS: u64 = 512;
/// The default terminationGracePeriodSeconds of Kubernetes.
const DEFAULT_GRACE_PERIOD_MS: u64 = 30_000;
/// Lower ports require privileges by default.
const FIRST_UNPRIVILEGED_PORT: u16 = 1_024;

const ENDPOINT: &str = "destination.endpoint";

/// Substrings of the names of headers whose values are usually secret.
const SECRET_NAME_PARTS: [&str; 7] =
    ["authorization", "cookie", "key", "password", "secret", "token", "credential"];

/// Returns warnings about a valid spec.
pub(super) fn warnings(spec: &TraceBufferSpec, checked: &ValidatedSpec) -> Vec<FieldError> {
    let mut found = Vec::new();
    encryption(&mut found, checked);
    endpoint(&mut found, spec, checked);
    headers(&mut found, spec);
    buffer(&mut found, checked);
    sending(&mut found, spec, checked);
    pod(&mut found, spec, checked);
    found
}

fn warn(found: &mut Vec<FieldError>, field: &str, why: impl Into<String>) {
    found.push(FieldError { field: format!("spec.{field}"), message: why.into() });
}

fn encryption(found: &mut Vec<FieldError>, checked: &ValidatedSpec) {
    let endpoint = &checked.destination.endpoint;
    if endpoint.tls || endpoint.is_loopback() {
        return;
    }
    let is_secret = |header: &ValidatedHeader| {
        let is_credential = matches!(
            &header.source,
            HeaderValueSource::File {
                file: ProjectedFile::Secret(_) | ProjectedFile::ServiceAccountToken { .. },
                ..
            }
        );
        is_credential || looks_secret(&header.name)
    };
    if checked.destination.headers.iter().any(is_secret) {
        warn(
            found,
            ENDPOINT,
            "is not encrypted, and so are the headers that look like credentials; use https://",
        );
    } else if !is_in_cluster(&endpoint.host) {
        warn(
            found,
            ENDPOINT,
            "is not encrypted, and does not look like a Service of the cluster; use https:// where others may listen",
        );
    }
}

fn endpoint(found: &mut Vec<FieldError>, spec: &TraceBufferSpec, checked: &ValidatedSpec) {
    if let Some(why) = doubt(&checked.destination.endpoint, spec.destination.protocol.into()) {
        warn(found, ENDPOINT, why);
    }
}

/// Returns whether `host` looks like `name`, `name.namespace`, `name.namespace.svc…` or an address.
fn is_in_cluster(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    is_address
        || host.matches('.').count() < 2
        || host.split('.').skip(2).any(|label| label == "svc")
}

fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAME_PARTS.iter().any(|part| name.contains(part))
}

fn headers(found: &mut Vec<FieldError>, spec: &TraceBufferSpec) {
    for (index, header) in spec.destination.headers.iter().enumerate() {
        if header.value.is_some() && looks_secret(&header.name) {
            let field = format!("destination.headers[{index}].value");
            warn(
                found,
                &field,
                "looks like a credential, which anyone who can read the pod can read; use valueFrom.secretKeyRef",
            );
        }
    }
}

fn buffer(found: &mut Vec<FieldError>, checked: &ValidatedSpec) {
    let (limits, concurrency) = (&checked.limits, checked.destination.concurrency);
    let (bytes, spans) = (limits.max_bytes.get(), limits.max_spans.get());
    if bytes < SMALL_BUFFER_BYTES {
        let (bytes, batch) = (ByteSize(bytes), ByteSize(limits.max_batch_charge(concurrency)));
        let why = format!(
            "is {bytes}, so that a request to the destination holds at most {batch}; raise it to 1Mi or more"
        );
        warn(found, "buffer.maxBytes", why);
    }
    if spans < SMALL_BUFFER_SPANS {
        let batch = limits.max_batch_spans(concurrency).max(1);
        let why = format!(
            "is {spans}, so that a request to the destination holds at most {batch}; raise it to 512 or more"
        );
        warn(found, "buffer.maxSpans", why);
    }
}

fn sending(found: &mut Vec<FieldError>, spec: &TraceBufferSpec, checked: &ValidatedSpec) {
    if checked.destination.concurrency > 1 {
        warn(
            found,
            "destination.concurrency",
            "is above 1, so that spans may arrive in another order",
        );
    }
    if checked.drain_timeout_ms == 0 {
        warn(found, "drainTimeout", "is 0, so that what is buffered when a pod ends is lost");
    }
    if checked.drain_timeout_ms >= DEFAULT_GRACE_PERIOD_MS {
        let time = Milliseconds(checked.drain_timeout_ms);
        let why = format!(
            "is {time}, so that pods need a terminationGracePeriodSeconds above it (Kubernetes' default is 30)"
        );
        warn(found, "drainTimeout", why);
    }
    namespaces(found, spec, checked);
}

fn namespaces(found: &mut Vec<FieldError>, spec: &TraceBufferSpec, checked: &ValidatedSpec) {
    const FIELD: &str = "allowedNamespaces.from";
    if spec.allowed_namespaces.from == FromNamespaces::Same {
        return;
    }
    let mut files = checked.destination.projected_files();
    if files.any(|(_, file, _)| matches!(file, ProjectedFile::ServiceAccountToken { .. })) {
        let why = "allows other namespaces, whose pods are skipped all the same: a header has a \
                   serviceAccountToken, which never leaves the TraceBuffer's namespace";
        warn(found, FIELD, why);
    } else if spec.allowed_namespaces.from == FromNamespaces::All {
        let why = "is All, so that pods of every namespace may use it; use Selector if you can";
        warn(found, FIELD, why);
    }
}

fn pod(found: &mut Vec<FieldError>, spec: &TraceBufferSpec, checked: &ValidatedSpec) {
    if spec.sidecar.image.as_deref().is_some_and(is_floating_tag) {
        warn(
            found,
            "sidecar.image",
            "has no tag or the tag latest, so that pods may run different versions; name a version or digest",
        );
    }
    let ports = checked.ports;
    for (field, port) in
        [("grpcPort", ports.grpc), ("httpPort", ports.http), ("adminPort", ports.admin)]
    {
        if port < FIRST_UNPRIVILEGED_PORT {
            let why = format!(
                "is {port}; ports below 1024 need privileges that the sidecar has not on every node"
            );
            warn(found, &format!("receiver.{field}"), why);
        }
    }
    memory(found, spec, checked);
}

fn is_floating_tag(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or_default();
    !image.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn memory(found: &mut Vec<FieldError>, spec: &TraceBufferSpec, checked: &ValidatedSpec) {
    let limits = spec.sidecar.resources.as_ref().and_then(|given| given.limits.as_ref());
    let limit = limits.and_then(|limits| limits.memory.as_ref());
    let needed = resources::memory_bytes(spec, checked);
    if let Some(limit) = limit.and_then(|limit| quantity::parse_value(&limit.0).ok())
        && limit < needed
    {
        let (limit, needed) = (ByteSize(limit), ByteSize(needed));
        let why = format!(
            "is {limit}; a full buffer with many connections may need {needed}, and be killed"
        );
        warn(found, "sidecar.resources.limits.memory", why);
    }
}
