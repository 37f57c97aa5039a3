//! CEL rules and schemas that the API server validates objects against. The messages name the fix.
//!
//! The rules reject early what [`sidecar::build`](super::super::sidecar::build) would reject. That
//! function stays authoritative, because an object may be older than a rule.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::adapters::messaging::notation::headers::RESERVED_NAMES;

/// Maximum length of a duration or quantity, in characters. Bounds the estimated cost of the rules.
const MAX_TEXT: usize = 32;
/// The grammar of GEP-2257.
pub(super) const DURATION_PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";
/// Maximum number of labels and requirements of a selector, and of values of a requirement.
const MAX_SELECTOR_ITEMS: usize = 16;

/// Returns the schema of a quantity: a number, or a string such as `32Mi`.
pub(super) fn quantity_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "maxLength": MAX_TEXT,
        "x-kubernetes-int-or-string": true,
    })
}

/// Returns the schema of a duration.
pub(super) fn duration_schema() -> Schema {
    json_schema!({ "type": "string", "pattern": DURATION_PATTERN, "minLength": 1, "maxLength": MAX_TEXT })
}

/// Returns the schema of `metav1.LabelSelector`, with bounds.
pub(super) fn label_selector_schema(_: &mut SchemaGenerator) -> Schema {
    let label = |description: &str| json_schema!({ "type": "string", "maxLength": 63, "description": description });
    let values = json_schema!({
        "description": "Values of the label. Must not be empty for In and NotIn, and must be empty for Exists and DoesNotExist.",
        "type": "array",
        "maxItems": MAX_SELECTOR_ITEMS,
        "items": { "type": "string", "maxLength": 63 },
        "x-kubernetes-list-type": "atomic",
    });
    let key = json_schema!({
        "description": "Key of the label.",
        "type": "string",
        "minLength": 1,
        "maxLength": 317,
    });
    let operator = json_schema!({
        "description": "Relation of the label to values.",
        "type": "string",
        "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
    });
    let requirement = json_schema!({
        "description": "Requirement for the labels of a namespace.",
        "type": "object",
        "required": ["key", "operator"],
        "properties": { "key": key, "operator": operator, "values": values },
    });
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "description": "Labels that a namespace must have, with these values.",
                "type": "object",
                "maxProperties": MAX_SELECTOR_ITEMS,
                "additionalProperties": label("Value of the label."),
            },
            "matchExpressions": {
                "description": "Requirements that a namespace must meet, all of them.",
                "type": "array",
                "maxItems": MAX_SELECTOR_ITEMS,
                "items": requirement,
                "x-kubernetes-list-type": "atomic",
            },
        },
    })
}

/// The object's name must not have another meaning in the annotation `tracebuffer.dev/inject`.
pub(super) fn name_is_not_reserved() -> Rule {
    Rule::new("!(self.metadata.name in ['true', 'false', 'enabled', 'disabled'])").message(
        "metadata.name must not be true, false, enabled or disabled, which have another meaning in \
         the annotation tracebuffer.dev/inject",
    )
}

/// The duration must be in a range.
///
/// The rule repeats the pattern, because rules are evaluated even if the pattern does not match.
pub(super) fn duration(min: &str, max: &str) -> Rule {
    let within =
        format!("duration(self) >= duration('{min}') && duration(self) <= duration('{max}')");
    Rule::new(format!("self.matches('{DURATION_PATTERN}') && {within}"))
        .message(format!("must be a duration from {min} to {max}, such as 1m30s").as_str())
}

/// The number of bytes must be in a range, such as `example` is.
pub(super) fn quantity(min: &str, max: &str, example: &str) -> Rule {
    let text = "string(self)";
    let compared = |to: &str| format!("quantity({text}).compareTo(quantity('{to}'))");
    let within = format!("{} >= 0 && {} <= 0", compared(min), compared(max));
    Rule::new(format!("isQuantity({text}) && {within}"))
        .message(format!("must be a quantity from {min} to {max}, such as {example}").as_str())
}

/// The quantity must not be negative.
pub(super) fn non_negative_quantity() -> Rule {
    let text = "string(self)";
    Rule::new(format!("isQuantity({text}) && quantity({text}).compareTo(quantity('0')) >= 0"))
        .message("must be a non-negative quantity, such as 100m or 64Mi")
}

/// The request of a resource must not exceed its limit. `name` is escaped for CEL.
pub(super) fn request_within_limit(name: &str) -> Rule {
    let (request, limit) = (format!("self.requests.{name}"), format!("self.limits.{name}"));
    let value = |of: &str| format!("quantity(string({of}))");
    let both = format!("has(self.requests) && has({request}) && has(self.limits) && has({limit})");
    let field = name.replace("__dash__", "-");
    Rule::new(format!("!({both}) || {}.compareTo({}) <= 0", value(&request), value(&limit)))
        .message(format!("requests.{field} must be at most limits.{field}").as_str())
}

/// The text must be an object name: a DNS-1123 subdomain.
pub(super) fn object_name() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("must be an object name: lower-case letters, digits, '-' and '.'")
}

/// The text must be a key of a Secret or `ConfigMap`.
pub(super) fn key() -> Rule {
    Rule::new("self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')")
        .message("must be a key: letters, digits, '-', '_' and '.'")
}

/// The selector must be set and not empty with `from: Selector`, and unset otherwise.
pub(super) fn selector_matches_from() -> Rule {
    Rule::new(
        "self.from == 'Selector' ? has(self.selector) && \
         (has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0 || \
         has(self.selector.matchExpressions) && size(self.selector.matchExpressions) > 0) : \
         !has(self.selector)",
    )
    .message(
        "selector must have at least one label or expression if from is Selector, and must be unset \
         otherwise; to allow all namespaces, set from: All",
    )
}

/// The URL must not contain secrets.
pub(super) fn endpoint() -> Rule {
    Rule::new("self.matches('^(?i)https?://[^/?#@ ]+(/[^?#@ ]*)?$')").message(
        "must be an http:// or https:// URL such as http://collector.observability:4317, without \
         credentials (they belong in headers), query or fragment",
    )
}

/// The URL must be that of an HTTP proxy and contain no secrets.
pub(super) fn proxy_url() -> Rule {
    Rule::new("self.matches('^(?i)https?://[^/?#@ ]+/?$')").message(
        "must be an http:// or https:// URL such as http://proxy.corp.example:3128, without \
         credentials and path",
    )
}

/// The URL must suit the protocol.
pub(super) fn path_fits_protocol() -> Rule {
    Rule::new("self.protocol != 'GRPC' || !self.endpoint.matches('^[^/]*//[^/]*/.+$')").message(
        "endpoint must have no path with protocol GRPC; remove it, or set protocol: HTTPProtobuf",
    )
}

/// TLS settings require an `https://` endpoint.
pub(super) fn tls_is_for_https() -> Rule {
    Rule::new("!has(self.tls) || self.endpoint.matches('^(?i)https://')")
        .message("tls must be unset unless endpoint begins with https://")
}

/// Exactly one source of certificates must be set.
pub(super) fn one_certificate_source() -> Rule {
    Rule::new("has(self.configMapKeyRef) != has(self.secretKeyRef)")
        .message("must have either configMapKeyRef or secretKeyRef")
}

/// At least one certificate authority must be trusted.
pub(super) fn some_authority_is_trusted() -> Rule {
    Rule::new("has(self.ca) || !has(self.trustSystemRoots) || self.trustSystemRoots")
        .message("trustSystemRoots must not be false without ca: no certificate would be trusted")
}

/// The text must be a DNS name or an IP address.
pub(super) fn server_name() -> Rule {
    Rule::new(
        "self.matches('^[a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?$|^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$')",
    )
    .message("must be a DNS name or an IP address, without a port")
}

/// The text must be a header name that is not reserved for the transport.
pub(super) fn header_name() -> Rule {
    let reserved = format!("['{}']", RESERVED_NAMES.join("', '"));
    Rule::new(format!(
        "self.matches('^[a-zA-Z0-9][-_.a-zA-Z0-9]*$') && !(self.lowerAscii() in {reserved}) && \
         !self.lowerAscii().startsWith('grpc-')"
    ))
    .message(
        "must be a header name of letters, digits, '-', '_' and '.', and not one that the transport \
         sets itself (such as host, content-* and grpc-*)",
    )
}

/// The text must be a valid header value.
pub(super) fn header_value() -> Rule {
    Rule::new("self.matches('^[ -~]*[!-~][ -~]*$')")
        .message("must be printable ASCII and not empty")
}

/// The text must be a valid beginning of a header value.
pub(super) fn header_prefix() -> Rule {
    Rule::new("self.matches('^[!-~][ -~]*$')")
        .message("must be printable ASCII that does not start with a space, such as \"Bearer \"")
}

/// Exactly one of a literal value and a source must be set.
pub(super) fn value_or_source() -> Rule {
    Rule::new("has(self.value) != has(self.valueFrom)")
        .message("must have either value or valueFrom")
}

/// `prefix` and `optional` require a source.
pub(super) fn prefix_and_optional_need_source() -> Rule {
    Rule::new("has(self.valueFrom) || !has(self.prefix) && !has(self.optional)")
        .message("prefix and optional must be unset with value; they apply only to valueFrom")
}

/// `optional` is not available for a token, because the kubelet waits for the token.
pub(super) fn token_is_required() -> Rule {
    Rule::new(
        "!has(self.optional) || !has(self.valueFrom) || !has(self.valueFrom.serviceAccountToken)",
    )
    .message("optional must be unset with serviceAccountToken, which is always required")
}

/// Exactly one source of a header value must be set.
pub(super) fn one_source() -> Rule {
    Rule::new(
        "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.serviceAccountToken), \
         has(self.fieldRef)].exists_one(is_set, is_set)",
    )
    .message(
        "must have exactly one of secretKeyRef, configMapKeyRef, serviceAccountToken and fieldRef",
    )
}

/// The audience must not be one of the usual audiences of the API server.
pub(super) fn audience() -> Rule {
    Rule::new(
        "self.matches('^[!-~]+$') && \
         !self.matches('^(https://)?kubernetes[.]default([.]svc([.][-.a-z0-9]+)?)?/?$')",
    )
    .message(
        "must be the audience that the destination expects, in printable ASCII without spaces, and \
         not an audience of the API server",
    )
}

/// The path must be that of a pod field that is available as a header value.
pub(super) fn field_path() -> Rule {
    const KEY: &str =
        "([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?";
    Rule::new(format!(
        "self.matches('^metadata[.](name|namespace|uid)$') || \
         self.matches('^spec[.](nodeName|serviceAccountName)$') || \
         self.matches('^status[.](podIP|hostIP)$') || \
         self.matches(\"^metadata[.](labels|annotations)\\\\['{KEY}'\\\\]$\")"
    ))
    .message(
        "must be metadata.name, metadata.namespace, metadata.uid, metadata.labels['KEY'], \
         metadata.annotations['KEY'], spec.nodeName, spec.serviceAccountName, status.podIP or \
         status.hostIP",
    )
}

/// Header names must be unique, ignoring case.
pub(super) fn headers_differ() -> Rule {
    Rule::new("self.all(a, self.exists_one(b, a.name.lowerAscii() == b.name.lowerAscii()))")
        .message("must not contain a header name twice, ignoring case")
}

/// Ports must be different.
pub(super) fn ports_differ() -> Rule {
    Rule::new(
        "self.grpcPort != self.httpPort && self.grpcPort != self.adminPort && \
         self.httpPort != self.adminPort",
    )
    .message("grpcPort, httpPort and adminPort must all be different")
}

/// A request must fit into the buffer.
pub(super) fn request_fits_buffer() -> Rule {
    let value = |of: &str| format!("quantity(string(self.{of}))");
    let (request, buffer) = (value("receiver.maxRequestBytes"), value("buffer.maxBytes"));
    Rule::new(format!("!has(self.receiver.maxRequestBytes) || {request}.compareTo({buffer}) <= 0"))
        .message("receiver.maxRequestBytes must be at most buffer.maxBytes")
}

/// The text must be an image reference.
pub(super) fn image() -> Rule {
    Rule::new("self.matches('^[a-zA-Z0-9][-._:/@a-zA-Z0-9]*$') && !self.contains('//')").message(
        "must be an image reference such as registry.example/tracebuffer:1.0, without a scheme",
    )
}
