//! Rules of the schema that the API server checks, with messages that say what to do.
//!
//! They refuse early what [`sidecar::build`](super::super::sidecar::build) would not accept; that
//! remains the judge, as an object may be older than a rule.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

/// Most characters of a duration or quantity: bounds the cost of the rules.
const MAX_TEXT: usize = 32;
/// Units largest first, each once; short enough for what CEL can hold.
const DURATION: &str = r"^([0-9]{1,6}([.][0-9]{1,9})?h)?([0-9]{1,6}([.][0-9]{1,9})?m)?([0-9]{1,6}([.][0-9]{1,9})?s)?([0-9]{1,9}([.][0-9]{1,9})?ms)?$";

/// The schema of a quantity: a number, or a text such as `32Mi`.
pub(super) fn quantity_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "maxLength": MAX_TEXT,
        "x-kubernetes-int-or-string": true,
    })
}

/// The schema of a duration.
pub(super) fn duration_schema() -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX_TEXT })
}

/// A duration between two.
pub(super) fn duration(min: &str, max: &str) -> Rule {
    let within =
        format!("duration(self) >= duration('{min}') && duration(self) <= duration('{max}')");
    Rule::new(format!("self.matches('{DURATION}') && {within}"))
        .message(format!("must be a duration from {min} to {max}, such as 1m30s").as_str())
}

/// A number of bytes between two.
pub(super) fn quantity(min: &str, max: &str) -> Rule {
    let text = "string(self)";
    let compared = |to: &str| format!("quantity({text}).compareTo(quantity('{to}'))");
    let within = format!("{} >= 0 && {} <= 0", compared(min), compared(max));
    Rule::new(format!("isQuantity({text}) && {within}"))
        .message(format!("must be a quantity from {min} to {max}, such as 32Mi").as_str())
}

/// An amount of something a node has.
pub(super) fn amount() -> Rule {
    let text = "string(self)";
    Rule::new(format!("isQuantity({text}) && quantity({text}).compareTo(quantity('0')) >= 0"))
        .message("must be a quantity that is not negative, such as 100m or 64Mi")
}

/// A request and its limit.
pub(super) fn request_within_limit(name: &str) -> Rule {
    let (request, limit) = (format!("self.requests.{name}"), format!("self.limits.{name}"));
    let value = |of: &str| format!("quantity(string({of}))");
    let both = format!("has(self.requests) && has({request}) && has(self.limits) && has({limit})");
    let field = name.replace("__dash__", "-");
    Rule::new(format!("!({both}) || {}.compareTo({}) <= 0", value(&request), value(&limit)))
        .message(format!("requests.{field} must be at most limits.{field}").as_str())
}

/// The name of an object.
pub(super) fn object_name() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("must be the name of an object: lower case letters, digits, '-' and '.'")
}

/// The key of a Secret or `ConfigMap`.
pub(super) fn key() -> Rule {
    Rule::new("self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')")
        .message("must be a key: letters, digits, '-', '_' and '.'")
}

/// The name of a namespace, or a star.
pub(super) fn namespaces() -> Rule {
    Rule::new("self.all(name, name == '*' || name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))")
        .message("must be names of namespaces, or *")
}

/// A URL of which nothing is secret.
pub(super) fn endpoint() -> Rule {
    Rule::new("self.matches('^(?i)https?://[^/?#@ ]+(/[^?#@ ]*)?$')").message(
        "must be an http:// or https:// URL such as http://collector.observability:4317, without \
         credentials (they belong in headers), query or fragment",
    )
}

/// A URL that suits its protocol.
pub(super) fn path_fits_protocol() -> Rule {
    Rule::new("self.protocol != 'Grpc' || !self.endpoint.matches('^[^/]*//[^/]*/.+$')").message(
        "endpoint must have no path with protocol Grpc; remove it, or set protocol: HttpProtobuf",
    )
}

/// Certificates where there is encryption.
pub(super) fn tls_is_for_https() -> Rule {
    Rule::new("!has(self.tls) || self.endpoint.matches('^(?i)https://')")
        .message("tls must be unset, or endpoint begin with https://")
}

/// One source of trusted authorities.
pub(super) fn one_authority() -> Rule {
    Rule::new("!(has(self.caConfigMapRef) && has(self.caSecretRef))")
        .message("must have either caConfigMapRef or caSecretRef; remove one")
}

/// A header's name that is free to use.
pub(super) fn header_name() -> Rule {
    let reserved = "['accept-encoding', 'connection', 'content-encoding', 'content-length', \
                    'content-type', 'expect', 'host', 'http2-settings', 'keep-alive', \
                    'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade']";
    Rule::new(format!(
        "self.matches('^[a-zA-Z0-9][-_.a-zA-Z0-9]*$') && !(self.lowerAscii() in {reserved}) && \
         !self.lowerAscii().startsWith('grpc-')"
    ))
    .message(
        "must be a header's name of letters, digits, '-', '_' and '.', and none that the transport \
         sets itself (host, content-*, grpc-* and the like)",
    )
}

/// A header's value that can be sent.
pub(super) fn header_value() -> Rule {
    Rule::new("self.matches('^[ -~]*[!-~][ -~]*$')").message("must be printable ASCII, not empty")
}

/// One source of a header's value.
pub(super) fn one_value() -> Rule {
    Rule::new("has(self.value) != has(self.secretKeyRef)")
        .message("must have either value or secretKeyRef")
}

/// Header names that differ by more than case.
pub(super) fn headers_differ() -> Rule {
    Rule::new("self.all(a, self.exists_one(b, a.name.lowerAscii() == b.name.lowerAscii()))")
        .message("must not name a header twice, whatever its case")
}

/// Ports that differ.
pub(super) fn ports_differ() -> Rule {
    Rule::new(
        "self.grpcPort != self.httpPort && self.grpcPort != self.adminPort && \
         self.httpPort != self.adminPort",
    )
    .message("grpcPort, httpPort and adminPort must all be different")
}

/// A request that fits into the buffer.
pub(super) fn request_fits() -> Rule {
    let value = |of: &str| format!("quantity(string(self.{of}))");
    let (request, buffer) = (value("receiver.maxRequestBytes"), value("buffer.maxBytes"));
    Rule::new(format!("!has(self.receiver.maxRequestBytes) || {request}.compareTo({buffer}) <= 0"))
        .message("receiver.maxRequestBytes must be at most buffer.maxBytes")
}

/// The name of an image.
pub(super) fn image() -> Rule {
    Rule::new("self.matches('^[a-zA-Z0-9][-._:/@a-zA-Z0-9]*$') && !self.contains('//')")
        .message("must be an image such as registry.example/tracebuffer:1.0, without a scheme")
}

/// An id where it has a meaning.
pub(super) fn user_is_fixed_or_not() -> Rule {
    Rule::new("self.user != 'Platform' || !has(self.runAsUser)")
        .message("runAsUser must be unset with user: Platform")
}
