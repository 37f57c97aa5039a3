//! Rules of the schema that the API server checks, with messages that say what to do.
//!
//! They refuse early what [`sidecar::build`](super::super::sidecar::build) would not accept; that
//! remains the judge, as an object may be older than a rule.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

/// Maximum characters of a duration or quantity; bounds the cost of the rules.
const MAX_TEXT: usize = 32;
/// The grammar of GEP-2257.
pub(super) const DURATION_PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";
/// Maximum labels and requirements of a selector, and values of a requirement.
const MAX_SELECTOR_ITEMS: usize = 16;

/// The schema of a quantity: a number, or a text such as `32Mi`.
pub(super) fn quantity_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "maxLength": MAX_TEXT,
        "x-kubernetes-int-or-string": true,
    })
}

/// The schema of a duration.
pub(super) fn duration_schema() -> Schema {
    json_schema!({ "type": "string", "pattern": DURATION_PATTERN, "minLength": 1, "maxLength": MAX_TEXT })
}

/// The schema of upstream's `LabelSelector`, with bounds.
pub(super) fn label_selector_schema(_: &mut SchemaGenerator) -> Schema {
    let label = |description: &str| json_schema!({ "type": "string", "maxLength": 63, "description": description });
    let values = json_schema!({
        "description": "Values for In and NotIn; must be empty for Exists and DoesNotExist.",
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
        "description": "How the label relates to values.",
        "type": "string",
        "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
    });
    let requirement = json_schema!({
        "description": "A requirement that a label must meet.",
        "type": "object",
        "required": ["key", "operator"],
        "properties": { "key": key, "operator": operator, "values": values },
    });
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "description": "Labels with these values, all of them.",
                "type": "object",
                "maxProperties": MAX_SELECTOR_ITEMS,
                "additionalProperties": label("Value of the label."),
            },
            "matchExpressions": {
                "description": "Requirements, all of which must be met.",
                "type": "array",
                "maxItems": MAX_SELECTOR_ITEMS,
                "items": requirement,
                "x-kubernetes-list-type": "atomic",
            },
        },
    })
}

/// A name that does not mean something else in the annotation `tracebuffer.dev/inject`.
pub(super) fn name_is_not_reserved() -> Rule {
    Rule::new("!(self.metadata.name in ['true', 'false', 'enabled', 'disabled'])").message(
        "metadata.name must not be true, false, enabled or disabled, which have another meaning in \
         the annotation tracebuffer.dev/inject",
    )
}

/// A duration between two.
///
/// The grammar is tested again, since rules are evaluated even where the pattern does not match.
pub(super) fn duration(min: &str, max: &str) -> Rule {
    let within =
        format!("duration(self) >= duration('{min}') && duration(self) <= duration('{max}')");
    Rule::new(format!("self.matches('{DURATION_PATTERN}') && {within}"))
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
pub(super) fn non_negative_quantity() -> Rule {
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

/// A selector where it is used, and one that selects.
pub(super) fn selector_matches_from() -> Rule {
    Rule::new(
        "self.from == 'Selector' ? has(self.selector) && \
         (has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0 || \
         has(self.selector.matchExpressions) && size(self.selector.matchExpressions) > 0) : \
         !has(self.selector)",
    )
    .message(
        "must have a selector with at least one label or expression with from: Selector, and no \
         selector otherwise; from: All allows every namespace",
    )
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
    Rule::new("self.protocol != 'GRPC' || !self.endpoint.matches('^[^/]*//[^/]*/.+$')").message(
        "endpoint must have no path with protocol GRPC; remove it, or set protocol: HTTPProtobuf",
    )
}

/// Certificates where there is encryption.
pub(super) fn tls_is_for_https() -> Rule {
    Rule::new("!has(self.tls) || self.endpoint.matches('^(?i)https://')")
        .message("tls must be unset, or endpoint begin with https://")
}

/// One source of certificates.
pub(super) fn one_certificate_source() -> Rule {
    Rule::new("has(self.configMapKeyRef) != has(self.secretKeyRef)")
        .message("must have either configMapKeyRef or secretKeyRef")
}

/// At least one certificate authority.
pub(super) fn some_authority_is_trusted() -> Rule {
    Rule::new("has(self.ca) || !has(self.trustSystemRoots) || self.trustSystemRoots")
        .message("trustSystemRoots must not be false without ca, or no certificate is trusted")
}

/// A DNS name or an IP address.
pub(super) fn server_name() -> Rule {
    Rule::new(
        "self.matches('^[a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?$|^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$')",
    )
    .message("must be a DNS name or an IP address, without a port")
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

/// A text that can begin a header's value.
pub(super) fn header_prefix() -> Rule {
    Rule::new("self.matches('^[!-~][ -~]*$')")
        .message("must be printable ASCII that does not start with a space, such as \"Bearer \"")
}

/// A value, or where it comes from.
pub(super) fn value_or_source() -> Rule {
    Rule::new("has(self.value) != has(self.valueFrom)")
        .message("must have either value or valueFrom")
}

/// What describes a source, where there is one.
pub(super) fn prefix_and_optional_need_source() -> Rule {
    Rule::new("has(self.valueFrom) || !has(self.prefix) && !has(self.optional)")
        .message("prefix and optional must be unset with value; they apply to valueFrom")
}

/// Never `optional` for a token, which the kubelet waits for.
pub(super) fn token_is_required() -> Rule {
    Rule::new(
        "!has(self.optional) || !has(self.valueFrom) || !has(self.valueFrom.serviceAccountToken)",
    )
    .message("optional must be unset with serviceAccountToken, which is always required")
}

/// One source of a header's value.
pub(super) fn one_source() -> Rule {
    Rule::new(
        "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.serviceAccountToken), \
         has(self.fieldRef)].exists_one(is_set, is_set)",
    )
    .message(
        "must have exactly one of secretKeyRef, configMapKeyRef, serviceAccountToken and fieldRef",
    )
}

/// An audience other than the API server's usual ones.
pub(super) fn audience() -> Rule {
    Rule::new(
        "self.matches('^[!-~]+$') && \
         !self.matches('^(https://)?kubernetes[.]default([.]svc([.][-.a-z0-9]+)?)?/?$')",
    )
    .message(
        "must be the audience that the destination expects, in printable ASCII without spaces, and \
         not the API server's",
    )
}

/// A field of a pod that can be a header's value.
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
pub(super) fn request_fits_buffer() -> Rule {
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
