//! Builds [`ReceiverSettings`] from single values. All values are read before any is used, so that every
//! error is reported.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use super::checks::{self, ParsedListenAddresses};
use super::table as t;
use crate::adapters::messaging::destination::config::{
    CaFile, DestinationSettings, Endpoint, Proxy,
};
use crate::adapters::messaging::notation::headers::{HeaderFiles, MissingHeaderFile};
use crate::bootstrap::receiver::settings::{ListenSettings, ReceiverSettings};
use crate::cli::settings::kinds::ProxyChoice;
use crate::cli::settings::log;
use crate::cli::settings::proxy::ProxyVariables;
use crate::cli::settings::reader::{ErrorReported, SettingsReader};
use crate::domain::limits::{BatchLimits, BufferLimits};
use crate::domain::units::ByteSize;

/// Reads all settings.
pub(super) fn settings(reader: &mut SettingsReader<'_>) -> Result<ReceiverSettings, ErrorReported> {
    let listeners = listeners(reader);
    let destination = destination(reader, &listeners);
    let limits = limits(reader);
    let overflow = reader.read(&t::OVERFLOW);
    let limits_file = reader.read(&t::LIMITS_FILE);
    let batch = batch(reader);
    let concurrency = reader.read(&t::CONCURRENCY);
    let max_request_bytes = max_request_bytes(reader, limits.as_ref().ok());
    let max_head_bytes = reader.read(&t::MAX_HEAD_BYTES);
    let cors_allowed_origins = reader.read(&t::CORS_ALLOWED_ORIGINS);
    let drain_timeout = reader.read(&t::DRAIN_TIMEOUT);
    let grace_period = reader.read(&t::TERMINATION_GRACE_PERIOD);
    let termination_message_file = reader.read(&t::TERMINATION_MESSAGE_FILE);
    let log = log::settings(reader);
    let workers = reader.read(&t::WORKERS);
    Ok(ReceiverSettings {
        destination: destination?.map(Box::new),
        limits: limits?,
        overflow_policy: overflow?,
        limits_file: limits_file?,
        batch_limits: batch?,
        concurrency: to_nonzero_usize(concurrency?),
        listen: ListenSettings {
            grpc: listeners.grpc?,
            http: listeners.http?,
            admin: listeners.admin?,
            max_request_bytes: max_request_bytes?,
            max_head_bytes: u32::try_from(max_head_bytes?.get()).unwrap_or(u32::MAX),
            cors_allowed_origins: cors_allowed_origins?,
        },
        drain_timeout: drain_timeout?,
        grace_period: grace_period?,
        termination_message_file: termination_message_file?,
        log: log?,
        workers: to_nonzero_usize(workers?),
    })
}

fn listeners(reader: &mut SettingsReader<'_>) -> ParsedListenAddresses {
    let listeners = ParsedListenAddresses {
        grpc: reader.read(&t::GRPC_ADDR),
        http: reader.read(&t::HTTP_ADDR),
        admin: reader.read(&t::ADMIN_ADDR),
    };
    checks::reject_address_conflicts(reader, &listeners);
    listeners
}

fn destination(
    reader: &mut SettingsReader<'_>,
    listeners: &ParsedListenAddresses,
) -> Result<Option<DestinationSettings>, ErrorReported> {
    let url = reader.read(&t::ENDPOINT);
    let protocol = reader.read(&t::PROTOCOL);
    let compression = reader.read(&t::COMPRESSION);
    let headers = reader.read(&t::HEADERS);
    let headers_file = reader.read(&t::HEADERS_FILE);
    let header_files = header_files(reader);
    let ca_file = ca_file(reader);
    let server_name = reader.read(&t::TLS_SERVER_NAME);
    let client_certificate_file = reader.read(&t::CLIENT_CERTIFICATE_FILE);
    let client_key_file = reader.read(&t::CLIENT_KEY_FILE);
    let timeout = reader.read(&t::TIMEOUT);
    let connection_max_age = reader.read(&t::CONNECTION_MAX_AGE);
    let proxy = reader.read(&t::PROXY);
    checks::check_client_certificate_has_key(reader);
    let Some(url) = url? else { return Ok(None) };
    if !url.tls {
        checks::reject_tls_settings(reader);
    }
    let protocol = protocol?;
    let endpoint =
        url.into_endpoint(protocol).map_err(|why| reader.add_error(&t::ENDPOINT, why))?;
    checks::reject_own_endpoint(reader, &endpoint, listeners);
    let proxy = proxy.and_then(|choice| effective_proxy(reader, choice, &endpoint));
    Ok(Some(DestinationSettings {
        endpoint,
        protocol,
        compression: compression?,
        headers: headers?,
        headers_file: headers_file?,
        header_files: header_files?,
        ca_file: ca_file?,
        server_name: server_name?,
        client_certificate_file: client_certificate_file?,
        client_key_file: client_key_file?,
        timeout: timeout?,
        connection_max_age: Some(connection_max_age?).filter(|age| !age.is_zero()),
        proxy: proxy?,
    }))
}

/// Returns the chosen proxy, or else that of the environment.
fn effective_proxy(
    reader: &mut SettingsReader<'_>,
    choice: Option<ProxyChoice>,
    endpoint: &Endpoint,
) -> Result<Option<Proxy>, ErrorReported> {
    match choice {
        Some(ProxyChoice::Direct) => Ok(None),
        Some(ProxyChoice::Through(proxy)) => Ok(Some(proxy)),
        None => {
            let Endpoint { tls, host, port, .. } = endpoint;
            let found = ProxyVariables::read(reader.environment()).proxy(*tls, host, *port);
            found.map_err(|(name, error)| reader.add_variable_error(name, error.to_string()))
        }
    }
}

fn header_files(reader: &mut SettingsReader<'_>) -> Result<HeaderFiles, ErrorReported> {
    let files = reader.read(&t::HEADER_VALUE_FILES);
    let prefixes = reader.read(&t::HEADER_VALUE_PREFIXES);
    let optional = reader.read(&t::OPTIONAL_HEADERS);
    let mut files = files?;
    let why =
        |error: MissingHeaderFile| format!("must only name headers of HEADER_VALUE_FILES; {error}");
    let with_prefixes = prefixes.and_then(|prefixes| {
        let added = files.add_prefixes(&prefixes);
        added.map_err(|error| reader.add_error(&t::HEADER_VALUE_PREFIXES, why(error)))
    });
    let made_optional = optional.and_then(|names| {
        let made = files.make_optional(&names);
        made.map_err(|error| reader.add_error(&t::OPTIONAL_HEADERS, why(error)))
    });
    with_prefixes.and(made_optional).map(|()| files)
}

fn ca_file(reader: &mut SettingsReader<'_>) -> Result<Option<CaFile>, ErrorReported> {
    let path = reader.read(&t::CA_FILE);
    let with_system_roots = reader.read(&t::TRUST_SYSTEM_ROOTS);
    match (path?, with_system_roots?) {
        (Some(path), trust) => Ok(Some(CaFile { path, with_system_roots: trust.unwrap_or(false) })),
        (None, Some(false)) => {
            let why = "must not be false unless CA_FILE is set: no certificate would be trusted";
            Err(reader.add_error(&t::TRUST_SYSTEM_ROOTS, why))
        }
        (None, _) => Ok(None),
    }
}

fn limits(reader: &mut SettingsReader<'_>) -> Result<BufferLimits, ErrorReported> {
    let max_spans = reader.read(&t::MAX_SPANS);
    let max_bytes = reader.read(&t::MAX_BYTES);
    let max_age = reader.read(&t::MAX_AGE);
    Ok(BufferLimits { max_spans: max_spans?.into(), max_bytes: max_bytes?, max_age: max_age? })
}

fn batch(reader: &mut SettingsReader<'_>) -> Result<BatchLimits, ErrorReported> {
    let max_spans = reader.read(&t::BATCH_MAX_SPANS);
    let max_bytes = reader.read(&t::BATCH_MAX_BYTES);
    let linger = reader.read(&t::LINGER);
    Ok(BatchLimits {
        max_spans: max_spans?.get().into(),
        max_bytes: max_bytes?.get(),
        max_records: usize::MAX,
        linger: linger?,
    })
}

/// Reads the maximum size of a request. The default is lowered to the size of the buffer; an explicit
/// value above it is an error.
fn max_request_bytes(
    reader: &mut SettingsReader<'_>,
    limits: Option<&BufferLimits>,
) -> Result<usize, ErrorReported> {
    let requested = reader.read(&t::MAX_REQUEST_BYTES)?;
    let max_bytes = limits.map_or(NonZeroU64::MAX, |limits| limits.max_bytes);
    if requested > max_bytes && reader.is_set(&t::MAX_REQUEST_BYTES) {
        let why = format!("must be at most MAX_BYTES, which is {}", ByteSize(max_bytes.get()));
        return Err(reader.add_error(&t::MAX_REQUEST_BYTES, why));
    }
    Ok(usize::try_from(requested.min(max_bytes).get()).unwrap_or(usize::MAX))
}

fn to_nonzero_usize(number: NonZeroU32) -> NonZeroUsize {
    NonZeroUsize::try_from(number).unwrap_or(NonZeroUsize::MAX)
}
