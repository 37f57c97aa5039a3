//! `spec.destination`.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use super::notes::{Notes, shown};
use super::{KI, MI, MINUTE};
use crate::adapters::kubernetes::resource::{
    Destination, DestinationHeader, DestinationTls, KeyReference, Protocol,
};
use crate::adapters::kubernetes::sidecar::checked::{CheckedDestination, SecretHeader};
use crate::adapters::messaging::notation::endpoint::{Endpoint, Protocol as Transport};
use crate::adapters::messaging::notation::headers::{parse_header_name, parse_header_value};
use crate::adapters::messaging::notation::url::{Url, UrlError};
use crate::domain::injection::candidate::SidecarPorts;

const ENDPOINT: &str = "destination.endpoint";

type Headers = (Vec<(String, String)>, Vec<SecretHeader>);

/// Reads a destination. `ports` are the sidecar's own, where it must not send to.
pub(super) fn check(
    notes: &mut Notes,
    destination: &Destination,
    ports: Option<SidecarPorts>,
) -> Option<CheckedDestination> {
    let endpoint = endpoint(notes, destination, ports);
    let headers = headers(notes, &destination.headers);
    let is_encrypted = endpoint.as_ref().map(|endpoint| endpoint.tls);
    tls(notes, destination.tls.as_ref(), is_encrypted);
    let timeout_ms = notes.time("destination.timeout", &destination.timeout, 100..=5 * MINUTE);
    let batch = &destination.batch;
    let batch_spans = notes.count("destination.batch.maxSpans", batch.max_spans, 1..=1_000_000);
    let batch_bytes = notes.size("destination.batch.maxBytes", &batch.max_bytes, KI..=64 * MI);
    let linger_ms = notes.time("destination.batch.linger", &batch.linger, 0..=MINUTE);
    let concurrency = notes.count("destination.concurrency", destination.concurrency, 1..=64);
    let (values, secrets) = headers?;
    Some(CheckedDestination {
        endpoint: endpoint?,
        values,
        secrets,
        timeout_ms: timeout_ms?,
        batch_spans: batch_spans?,
        batch_bytes: batch_bytes?,
        linger_ms: linger_ms?,
        concurrency: concurrency?,
    })
}

/// Reads the address. What is wrong with it is told without quoting it: it may hold a key.
fn endpoint(
    notes: &mut Notes,
    destination: &Destination,
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
        UrlError::Because(why) => format!("must be a URL of scheme, host, port and path: {why}"),
    });
    let transport = match destination.protocol {
        Protocol::Grpc => Transport::Grpc,
        Protocol::HttpProtobuf => Transport::Http,
    };
    let endpoint = url.and_then(|url| {
        url.endpoint(transport).map_err(|_| {
            "must have no path with protocol Grpc; remove it, or set protocol: HttpProtobuf".into()
        })
    });
    let endpoint = endpoint.map_err(|why: String| notes.note(ENDPOINT, why)).ok()?;
    let loops = |port| endpoint.reaches(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    if let Some(SidecarPorts { grpc, http, .. }) = ports
        && [grpc, http].into_iter().any(loops)
    {
        let why = "must not be the sidecar itself, which listens there: name a collector's address";
        notes.note(ENDPOINT, why);
    }
    Some(endpoint)
}

fn headers(notes: &mut Notes, headers: &[DestinationHeader]) -> Option<Headers> {
    let mut known = HashSet::new();
    let mut found = Some(Headers::default());
    for (index, header) in headers.iter().enumerate() {
        let field = format!("destination.headers[{index}]");
        let name = header_name(notes, &format!("{field}.name"), &header.name);
        if let Some(name) = &name
            && !known.insert(name.clone())
        {
            notes.note(
                &format!("{field}.name"),
                format!("must not name {name:?} for the second time"),
            );
        }
        let source = source(notes, &field, header);
        found = found.zip(name.zip(source)).map(|(mut found, (name, source))| {
            match source {
                Source::Value(value) => found.0.push((name, value)),
                Source::Secret(reference) => found.1.push(SecretHeader { name, reference }),
            }
            found
        });
    }
    found
}

/// Reads a name, which is also that of a file where the value is in a Secret.
fn header_name(notes: &mut Notes, field: &str, name: &str) -> Option<String> {
    let why = match parse_header_name(name) {
        Ok(parsed) if is_plain(parsed.as_str()) => return Some(parsed.to_string()),
        Ok(_) => "has other characters".to_owned(),
        Err(mistake) => mistake.to_string(),
    };
    let allowed = "a header's name of letters, digits, '-', '_' and '.'";
    notes.note(field, format!("must be {allowed}; {} {why}", shown(name)));
    None
}

fn is_plain(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().all(is_inner) && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

/// Where a header's value is.
enum Source {
    Value(String),
    Secret(KeyReference),
}

fn source(notes: &mut Notes, field: &str, header: &DestinationHeader) -> Option<Source> {
    match (&header.value, &header.secret_key_ref) {
        (Some(value), None) => {
            if let Err(mistake) = parse_header_value(value.as_bytes()) {
                notes.note(
                    &format!("{field}.value"),
                    format!("must be printable ASCII; it {mistake}"),
                );
                return None;
            }
            Some(Source::Value(value.trim_ascii().to_owned()))
        }
        (None, Some(reference)) => {
            key(notes, &format!("{field}.secretKeyRef"), reference)?;
            Some(Source::Secret(reference.clone()))
        }
        (Some(_), Some(_)) => {
            notes.note(field, "must have either value or secretKeyRef; remove one");
            None
        }
        (None, None) => {
            notes.note(field, "must have a value, or a secretKeyRef that says where it is");
            None
        }
    }
}

fn tls(notes: &mut Notes, tls: Option<&DestinationTls>, is_encrypted: Option<bool>) {
    let Some(tls) = tls else { return };
    if is_encrypted == Some(false) {
        let why = "must be unset, or destination.endpoint begin with https://";
        notes.note("destination.tls", why);
    }
    if let Some(reference) = &tls.ca_config_map_ref {
        key(notes, "destination.tls.caConfigMapRef", reference);
    }
    if let Some(reference) = &tls.ca_secret_ref {
        key(notes, "destination.tls.caSecretRef", reference);
    }
    if tls.ca_config_map_ref.is_some() && tls.ca_secret_ref.is_some() {
        let why = "must have either caConfigMapRef or caSecretRef; remove one";
        notes.note("destination.tls", why);
    }
    if let Some(name) = &tls.client_secret_name {
        notes.object_name("destination.tls.clientSecretName", name);
    }
}

fn key(notes: &mut Notes, field: &str, reference: &KeyReference) -> Option<()> {
    let name = notes.object_name(&format!("{field}.name"), &reference.name);
    let key = notes.key(&format!("{field}.key"), &reference.key);
    name.and(key)
}
