//! The settings of the receiver in the sidecar, as environment variables.
//!
//! All are set explicitly, because the receiver's defaults may differ between its versions; except
//! for fields that were added later and are unset.

use std::fmt::Display;

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::validated::{HeaderValueSource, ValidatedDestination, ValidatedHeader, ValidatedSpec};
use super::volumes;
use crate::adapters::kubernetes::names::POD_INFO_PATH;
use crate::adapters::kubernetes::resource::{
    CompressionSpec, OverflowPolicySpec, ProtocolSpec, TraceBufferSpec,
};
use crate::domain::units::Milliseconds;

/// Characters of a header's value that are not percent-encoded: none that a list or a shell interprets.
const ENCODE_SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the variables in a fixed order.
pub(super) fn variables(spec: &TraceBufferSpec, checked: &ValidatedSpec) -> Vec<EnvVar> {
    let mut found = Vec::new();
    destination(&mut found, spec, checked);
    buffer(&mut found, spec, checked);
    listeners(&mut found, checked);
    add_variable(&mut found, "DRAIN_TIMEOUT", format_duration(checked.drain_timeout_ms));
    add_variable(&mut found, "LOG_FORMAT", "json");
    found
}

fn destination(found: &mut Vec<EnvVar>, spec: &TraceBufferSpec, checked: &ValidatedSpec) {
    let to = &checked.destination;
    add_variable(found, "ENDPOINT", spec.destination.endpoint.as_str());
    let protocol = match spec.destination.protocol {
        ProtocolSpec::Grpc => "grpc",
        ProtocolSpec::HttpProtobuf => "http/protobuf",
    };
    add_variable(found, "PROTOCOL", protocol);
    let compression = match spec.destination.compression {
        CompressionSpec::None => "none",
        CompressionSpec::Gzip => "gzip",
        CompressionSpec::Zstd => "zstd",
    };
    add_variable(found, "COMPRESSION", compression);
    headers(found, to);
    for (name, value) in volumes::tls_settings(spec.destination.tls.as_ref()) {
        add_variable(found, name, value);
    }
    add_variable(found, "TIMEOUT", format_duration(to.timeout_ms));
    if let Some(age) = to.connection_max_age_ms {
        add_variable(found, "CONNECTION_MAX_AGE", format_duration(age));
    }
    if let Some(proxy) = &spec.destination.proxy {
        add_variable(found, "PROXY", proxy.url.as_str());
    }
    add_variable(found, "BATCH_MAX_SPANS", to.batch_max_spans.to_string());
    add_variable(found, "BATCH_MAX_BYTES", to.batch_max_bytes.to_string());
    add_variable(found, "LINGER", format_duration(to.linger_ms));
    add_variable(found, "CONCURRENCY", to.concurrency.to_string());
}

fn headers(found: &mut Vec<EnvVar>, to: &ValidatedDestination) {
    for header in &to.headers {
        if let HeaderValueSource::FieldVariable(path) = &header.source {
            add_field_variable(found, path);
        }
    }
    let list = header_list(&to.headers);
    if !list.is_empty() {
        // Encoded values contain no `$`, so each `$` refers to a field.
        found.push(variable("HEADERS", list));
    }
    let (mut files, mut prefixes, mut optional) = (vec![], vec![], vec![]);
    for (index, (header, file, is_optional)) in to.projected_files().enumerate() {
        let name = &header.name;
        files.push(format!("{name}={}", volumes::header_path(name, file, index)));
        if !header.prefix.is_empty() {
            prefixes.push(format!("{name}={}", encoded(&header.prefix)));
        }
        if is_optional {
            optional.push(name.clone());
        }
    }
    add_list_variable(found, "HEADER_VALUE_FILES", &files);
    add_list_variable(found, "HEADER_VALUE_PREFIXES", &prefixes);
    add_list_variable(found, "OPTIONAL_HEADERS", &optional);
}

/// Returns the headers whose values are in no file, as one text; fields of the pod by their variables.
pub(super) fn header_list(headers: &[ValidatedHeader]) -> String {
    let entries =
        headers.iter().filter_map(|ValidatedHeader { name, prefix, source }| match source {
            HeaderValueSource::Literal(value) => Some(format!("{name}={}", encoded(value))),
            HeaderValueSource::FieldVariable(path) => {
                Some(format!("{name}={}$({})", encoded(prefix), field_variable(path)))
            }
            HeaderValueSource::File { .. } => None,
        });
    entries.collect::<Vec<_>>().join(",")
}

fn encoded(text: &str) -> impl Display {
    utf8_percent_encode(text, ENCODE_SET)
}

/// Adds a variable for a field of the pod, unless it is there already.
fn add_field_variable(found: &mut Vec<EnvVar>, path: &str) {
    let name = field_variable(path);
    if found.iter().all(|variable| variable.name != name) {
        let field_ref = ObjectFieldSelector { field_path: path.to_owned(), api_version: None };
        let from = EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() };
        found.push(EnvVar { name, value: None, value_from: Some(from) });
    }
}

fn field_variable(path: &str) -> String {
    let field = path.rsplit('.').next().unwrap_or(path);
    format!("TRACEBUFFER_FIELD_{}", field.to_ascii_uppercase())
}

fn buffer(found: &mut Vec<EnvVar>, spec: &TraceBufferSpec, checked: &ValidatedSpec) {
    let limits = checked.limits;
    add_variable(found, "MAX_SPANS", limits.max_spans.to_string());
    add_variable(found, "MAX_BYTES", limits.max_bytes.to_string());
    if let Some(age) = limits.max_age {
        add_variable(found, "MAX_AGE", Milliseconds::from(age).to_string());
    }
    add_variable(found, "LIMITS_FILE", format!("{POD_INFO_PATH}/{}", volumes::LIMITS_FILE));
    let overflow = match spec.buffer.overflow {
        OverflowPolicySpec::DropOldest => "drop-oldest",
        OverflowPolicySpec::Reject => "reject",
    };
    add_variable(found, "OVERFLOW", overflow);
}

/// OTLP is received from this pod only; the admin port is open to Prometheus.
fn listeners(found: &mut Vec<EnvVar>, checked: &ValidatedSpec) {
    let ports = checked.ports;
    add_variable(found, "GRPC_ADDR", format!("127.0.0.1:{0},[::1]:{0}", ports.grpc));
    add_variable(found, "HTTP_ADDR", format!("127.0.0.1:{0},[::1]:{0}", ports.http));
    add_variable(found, "ADMIN_ADDR", format!("0.0.0.0:{0},[::]:{0}", ports.admin));
    for (name, bytes) in [
        ("MAX_REQUEST_BYTES", checked.max_request_bytes),
        ("MAX_HEAD_BYTES", checked.max_head_bytes),
    ] {
        if let Some(bytes) = bytes {
            add_variable(found, name, bytes.to_string());
        }
    }
}

fn format_duration(milliseconds: u64) -> String {
    Milliseconds(milliseconds).to_string()
}

fn add_list_variable(found: &mut Vec<EnvVar>, name: &str, entries: &[String]) {
    if !entries.is_empty() {
        add_variable(found, name, entries.join(","));
    }
}

/// Adds a variable. In a pod, `$(NAME)` refers to another variable and `$$` is `$`.
fn add_variable(found: &mut Vec<EnvVar>, name: &str, value: impl Into<String>) {
    found.push(variable(name, value.into().replace('$', "$$")));
}

/// Returns a variable of the receiver.
pub(in crate::adapters::kubernetes) fn variable(name: &str, value: String) -> EnvVar {
    EnvVar { name: format!("TRACEBUFFER_{name}"), value: Some(value), value_from: None }
}
