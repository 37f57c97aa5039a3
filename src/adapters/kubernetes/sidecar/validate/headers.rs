//! `spec.destination.headers`.

use std::collections::HashSet;

use super::validator::Validator;
use crate::adapters::kubernetes::resource::{
    DestinationHeader, FieldReference, HeaderSource, MAX_HEADER_NAME, ServiceAccountToken,
};
use crate::adapters::kubernetes::sidecar::environment::header_list;
use crate::adapters::kubernetes::sidecar::validated::{
    HeaderValueSource, ProjectedFile, ValidatedHeader,
};
use crate::adapters::messaging::notation::headers::{parse_header_name, parse_header_value};
use crate::domain::bounds::Bounds;
use crate::domain::operator::labels::is_label_key;
use crate::domain::text::quoted;

/// Fields of a pod that are available as environment variables only.
const ENV_ONLY_FIELDS: [&str; 7] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.podIP",
    "status.hostIP",
];
/// Maximum bytes of the headers that one environment variable holds. Linux starts no process with a
/// variable of 128 KiB; the kubelet replaces the names of fields by values, which may be longer.
const MAX_HEADER_LIST_BYTES: usize = 64 << 10;
/// The default lifetime of a token, as in Kubernetes.
const DEFAULT_EXPIRATION_SECONDS: i64 = 3600;
/// The API server's audiences by default in Kubernetes.
const API_AUDIENCE: &str = "kubernetes.default";

/// Validates headers. Tokens must not be for one of `api_audiences`.
pub(super) fn validate(
    validator: &mut Validator,
    headers: &[DestinationHeader],
    api_audiences: &[String],
) -> Option<Vec<ValidatedHeader>> {
    let mut known = HashSet::new();
    let mut found = Some(vec![]);
    for (index, header) in headers.iter().enumerate() {
        let field = format!("destination.headers[{index}]");
        let name = header_name(validator, &format!("{field}.name"), &header.name);
        if let Some(name) = &name
            && !known.insert(name.clone())
        {
            validator.add_spec_error(
                &format!("{field}.name"),
                format!("must not name {name:?} for the second time"),
            );
        }
        let prefix = prefix(validator, &field, header);
        let source = source(validator, &field, header, api_audiences);
        let header = name.zip(prefix).zip(source);
        let header =
            header.map(|((name, prefix), source)| ValidatedHeader { name, prefix, source });
        found = found.zip(header).map(|(mut found, header)| {
            found.push(header);
            found
        });
    }
    validate_list_size(validator, found.as_deref().unwrap_or_default());
    found
}

fn validate_list_size(validator: &mut Validator, headers: &[ValidatedHeader]) {
    let bytes = header_list(headers).len();
    if bytes > MAX_HEADER_LIST_BYTES {
        let of_what = "names and percent-encoded values together";
        let why = format!(
            "must have at most {MAX_HEADER_LIST_BYTES} bytes, {of_what}; it has {bytes}: use valueFrom \
             with a Secret or ConfigMap for large values"
        );
        validator.add_spec_error("destination.headers", why);
    }
}

/// Validates a header name, which is also the name of the file that holds its value.
fn header_name(validator: &mut Validator, field: &str, name: &str) -> Option<String> {
    let why = match parse_header_name(name) {
        Ok(_) if name.len() > MAX_HEADER_NAME => {
            format!("has {} characters, more than {MAX_HEADER_NAME}", name.len())
        }
        Ok(parsed) if is_plain(parsed.as_str()) => return Some(parsed.to_string()),
        Ok(_) => "has other characters".to_owned(),
        Err(error) => error.to_string(),
    };
    let allowed = "a header's name of letters, digits, '-', '_' and '.'";
    validator.add_spec_error(field, format!("must be {allowed}; {} {why}", quoted(name)));
    None
}

fn is_plain(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().all(is_inner) && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

fn prefix(validator: &mut Validator, field: &str, header: &DestinationHeader) -> Option<String> {
    let Some(prefix) = &header.prefix else { return Some(String::new()) };
    let field = format!("{field}.prefix");
    if header.value.is_some() {
        validator.add_spec_error(&field, "must be unset with value; put it into value");
        return None;
    }
    let is_printable = prefix.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if prefix.is_empty() || prefix.starts_with(' ') || !is_printable {
        let allowed = "printable ASCII that does not start with a space, such as \"Bearer \"";
        validator.add_spec_error(&field, format!("must be {allowed}"));
        return None;
    }
    Some(prefix.clone())
}

fn source(
    validator: &mut Validator,
    field: &str,
    header: &DestinationHeader,
    api_audiences: &[String],
) -> Option<HeaderValueSource> {
    match (&header.value, &header.value_from) {
        (Some(value), None) => literal(validator, field, header, value),
        (None, Some(from)) => {
            let is_optional = header.optional.unwrap_or(false);
            if from.service_account_token.is_some() && header.optional.is_some() {
                validator.add_spec_error(
                    &format!("{field}.optional"),
                    "must be unset with serviceAccountToken, which is always required",
                );
            }
            value_from(validator, &format!("{field}.valueFrom"), from, is_optional, api_audiences)
        }
        (Some(_), Some(_)) => {
            validator.add_spec_error(field, "must have either value or valueFrom; remove one");
            None
        }
        (None, None) => {
            validator.add_spec_error(field, "must have a value, or valueFrom, the source of one");
            None
        }
    }
}

fn literal(
    validator: &mut Validator,
    field: &str,
    header: &DestinationHeader,
    value: &str,
) -> Option<HeaderValueSource> {
    if header.optional.is_some() {
        validator.add_spec_error(&format!("{field}.optional"), "must be unset with value");
    }
    if let Err(error) = parse_header_value(value.as_bytes()) {
        let field = format!("{field}.value");
        validator.add_spec_error(&field, format!("must be printable ASCII; it {error}"));
        return None;
    }
    Some(HeaderValueSource::Literal(value.trim_ascii().to_owned()))
}

fn value_from(
    validator: &mut Validator,
    field: &str,
    from: &HeaderSource,
    is_optional: bool,
    api_audiences: &[String],
) -> Option<HeaderValueSource> {
    let in_file = |file| Some(HeaderValueSource::File { file, is_optional });
    match from {
        HeaderSource {
            secret_key_ref: Some(reference),
            config_map_key_ref: None,
            service_account_token: None,
            field_ref: None,
        } => {
            validator.key_reference(&format!("{field}.secretKeyRef"), reference)?;
            in_file(ProjectedFile::Secret(reference.clone()))
        }
        HeaderSource {
            secret_key_ref: None,
            config_map_key_ref: Some(reference),
            service_account_token: None,
            field_ref: None,
        } => {
            validator.key_reference(&format!("{field}.configMapKeyRef"), reference)?;
            in_file(ProjectedFile::ConfigMap(reference.clone()))
        }
        HeaderSource {
            secret_key_ref: None,
            config_map_key_ref: None,
            service_account_token: Some(asked),
            field_ref: None,
        } => in_file(token(
            validator,
            &format!("{field}.serviceAccountToken"),
            asked,
            api_audiences,
        )?),
        HeaderSource {
            secret_key_ref: None,
            config_map_key_ref: None,
            service_account_token: None,
            field_ref: Some(path),
        } => pod_field(validator, &format!("{field}.fieldRef.fieldPath"), path, is_optional),
        _ => {
            let sources = "secretKeyRef, configMapKeyRef, serviceAccountToken and fieldRef";
            validator.add_spec_error(field, format!("must have exactly one of {sources}"));
            None
        }
    }
}

/// Rejects a token that the API server accepts: a destination that receives it could act as the pod.
fn token(
    validator: &mut Validator,
    field: &str,
    asked: &ServiceAccountToken,
    api_audiences: &[String],
) -> Option<ProjectedFile> {
    let audience = &asked.audience;
    let at = format!("{field}.audience");
    let is_audience =
        (1..=256).contains(&audience.len()) && audience.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_audience {
        let found = quoted(audience);
        validator.add_spec_error(
            &at,
            format!(
                "must be the audience that the destination expects, in printable ASCII without \
                 spaces; it is {found}"
            ),
        );
        return None;
    }
    let host = audience.trim_start_matches("https://").trim_end_matches('/');
    let is_usual = host == API_AUDIENCE || host.starts_with(&format!("{API_AUDIENCE}.svc"));
    if is_usual || api_audiences.contains(audience) {
        validator.add_spec_error(
            &at,
            "must not be an audience of the API server, or the destination could act as the pod; \
             name the one that the destination expects",
        );
        return None;
    }
    let bounds = Bounds { min: 600, max: 1 << 32 };
    let at = format!("{field}.expirationSeconds");
    let asked_for = asked.expiration_seconds.unwrap_or(DEFAULT_EXPIRATION_SECONDS);
    let expiration_seconds = validator.integer(&at, asked_for, bounds)?;
    Some(ProjectedFile::ServiceAccountToken { audience: audience.clone(), expiration_seconds })
}

fn pod_field(
    validator: &mut Validator,
    field: &str,
    reference: &FieldReference,
    is_optional: bool,
) -> Option<HeaderValueSource> {
    let path = reference.field_path.as_str();
    if let Some(variable) = ENV_ONLY_FIELDS.into_iter().find(|variable| *variable == path) {
        return Some(HeaderValueSource::FieldVariable(variable));
    }
    if subscript(path).is_some_and(is_label_key) {
        return Some(HeaderValueSource::File {
            file: ProjectedFile::DownwardApiField(path.to_owned()),
            is_optional,
        });
    }
    let allowed = ENV_ONLY_FIELDS.join(", ");
    validator.add_spec_error(
        field,
        format!(
            "must be metadata.labels['KEY'], metadata.annotations['KEY'] or one of {allowed}; it is \
             {}",
            quoted(path)
        ),
    );
    None
}

/// Returns the key of a label or an annotation.
fn subscript(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("metadata.")?;
    let rest = rest.strip_prefix("labels").or_else(|| rest.strip_prefix("annotations"))?;
    rest.strip_prefix("['")?.strip_suffix("']")
}
