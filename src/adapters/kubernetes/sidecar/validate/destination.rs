//! `spec.destination`.

use std::net::{Ipv4Addr, SocketAddr};

use super::validator::Validator;
use super::{headers, optional};
use crate::adapters::kubernetes::resource::{
    CaSource, DestinationProxy, DestinationSpec, DestinationTls, MAX_SERVER_NAME,
};
use crate::adapters::kubernetes::sidecar::validated::ValidatedDestination;
use crate::adapters::messaging::notation::endpoint::Endpoint;
use crate::adapters::messaging::notation::proxy::Proxy;
use crate::adapters::messaging::notation::url::{Url, UrlError};
use crate::domain::bounds;
use crate::domain::operator::injection::trace_buffer_view::SidecarPorts;
use crate::domain::text::quoted;

const ENDPOINT: &str = "destination.endpoint";

/// Validates a destination, which must not be one of the sidecar's own `ports`. Tokens must not be for
/// one of `api_audiences`.
pub(super) fn validate(
    validator: &mut Validator,
    destination: &DestinationSpec,
    ports: Option<SidecarPorts>,
    api_audiences: &[String],
) -> Option<ValidatedDestination> {
    let endpoint = endpoint(validator, destination, ports);
    let headers = headers::validate(validator, &destination.headers, api_audiences);
    let is_encrypted = endpoint.as_ref().map(|endpoint| endpoint.tls);
    validate_tls(validator, destination.tls.as_ref(), is_encrypted);
    let timeout_ms =
        validator.duration("destination.timeout", &destination.timeout, bounds::TIMEOUT);
    let connection_max_age_ms = optional(destination.connection_max_age.as_ref(), |age| {
        validator.duration("destination.connectionMaxAge", age, bounds::CONNECTION_MAX_AGE)
    });
    validate_proxy(validator, destination.proxy.as_ref());
    let batch = &destination.batch;
    let batch_spans =
        validator.integer("destination.batch.maxSpans", batch.max_spans, bounds::BATCH_MAX_SPANS);
    let batch_bytes = validator.byte_size(
        "destination.batch.maxBytes",
        &batch.max_bytes,
        bounds::BATCH_MAX_BYTES,
    );
    let linger_ms = validator.duration("destination.batch.linger", &batch.linger, bounds::LINGER);
    let concurrency =
        validator.integer("destination.concurrency", destination.concurrency, bounds::CONCURRENCY);
    Some(ValidatedDestination {
        endpoint: endpoint?,
        headers: headers?,
        timeout_ms: timeout_ms?,
        connection_max_age_ms: connection_max_age_ms.ok()?,
        batch_max_spans: batch_spans?,
        batch_max_bytes: batch_bytes?,
        linger_ms: linger_ms?,
        concurrency: concurrency?,
    })
}

/// Validates the endpoint. Errors do not quote it, since it may contain a key.
fn endpoint(
    validator: &mut Validator,
    destination: &DestinationSpec,
    ports: Option<SidecarPorts>,
) -> Option<Endpoint> {
    let text = &destination.endpoint;
    let url = text.parse::<Url>().map_err(|error| match error {
        UrlError::NotHttp if text.is_empty() => "must be set to a URL".to_owned(),
        UrlError::NotHttp => {
            "must be an http:// or https:// URL, such as http://collector.observability:4317".into()
        }
        UrlError::Credentials => {
            "must be a URL without credentials, which belong in spec.destination.headers".into()
        }
        UrlError::Other(why) => format!("must be a URL of scheme, host, port and path: {why}"),
    });
    let endpoint = url.and_then(|url| {
        url.into_endpoint(destination.protocol.into()).map_err(|_| {
            "must have no path with protocol GRPC; remove it, or set protocol: HTTPProtobuf".into()
        })
    });
    let endpoint = endpoint.map_err(|why: String| validator.add_spec_error(ENDPOINT, why)).ok()?;
    let loops = |port| endpoint.reaches(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    if let Some(SidecarPorts { grpc, http, .. }) = ports
        && [grpc, http].into_iter().any(loops)
    {
        let why = "must not be the sidecar itself, which listens there: name a collector's address";
        validator.add_spec_error(ENDPOINT, why);
    }
    Some(endpoint)
}

/// Validates the proxy. Errors do not quote it, since it may contain a password.
fn validate_proxy(validator: &mut Validator, proxy: Option<&DestinationProxy>) {
    let Some(DestinationProxy { url }) = proxy else { return };
    let has_scheme = url.parse::<Url>().is_ok();
    if !has_scheme || url.parse::<Proxy>().is_err() {
        let why = "must be an http:// or https:// URL such as http://proxy.corp.example:3128, without \
                   credentials";
        validator.add_spec_error("destination.proxy.url", why);
    }
}

fn validate_tls(
    validator: &mut Validator,
    tls: Option<&DestinationTls>,
    is_encrypted: Option<bool>,
) {
    let Some(tls) = tls else { return };
    if is_encrypted == Some(false) {
        let why = "must be unset unless destination.endpoint begins with https://";
        validator.add_spec_error("destination.tls", why);
    }
    if let Some(ca) = &tls.ca {
        validate_ca_source(validator, "destination.tls.ca", ca);
    } else if tls.trust_system_roots == Some(false) {
        let why = "must not be false without ca, or no certificate is trusted";
        validator.add_spec_error("destination.tls.trustSystemRoots", why);
    }
    if let Some(secret) = &tls.client_certificate_secret_ref {
        validator.object_name("destination.tls.clientCertificateSecretRef.name", &secret.name);
    }
    if let Some(name) = tls.server_name.as_ref().filter(|name| !is_server_name(name)) {
        let found = quoted(name);
        validator.add_spec_error(
            "destination.tls.serverName",
            format!("must be a DNS name or an IP address, without a port; it is {found}"),
        );
    }
}

fn validate_ca_source(validator: &mut Validator, field: &str, from: &CaSource) {
    match (&from.config_map_key_ref, &from.secret_key_ref) {
        (Some(reference), None) => {
            validator.key_reference(&format!("{field}.configMapKeyRef"), reference);
        }
        (None, Some(reference)) => {
            validator.key_reference(&format!("{field}.secretKeyRef"), reference);
        }
        _ => validator.add_spec_error(field, "must have either configMapKeyRef or secretKeyRef"),
    }
}

/// Returns whether the sidecar's TLS accepts `name`, without which it would not start, and the schema
/// does.
fn is_server_name(name: &str) -> bool {
    name.len() <= MAX_SERVER_NAME
        && !name.contains('_')
        && !name.ends_with('.')
        && rustls::pki_types::ServerName::try_from(name).is_ok()
}
