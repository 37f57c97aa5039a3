//! Builds [`ReceiverSettings`] from single values. All values are read before any is used, so that every
//! error is reported.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use super::checks::{self, ListenAddresses};
use super::table as t;
use crate::adapters::messaging::destination::config::{CaFile, DestinationSettings};
use crate::adapters::messaging::notation::headers::{HeaderFiles, MissingHeaderFile};
use crate::bootstrap::receiver::settings::{ListenSettings, ReceiverSettings};
use crate::cli::settings::log;
use crate::cli::settings::reader::{ErrorReported, SettingsReader};
use crate::domain::limits::{BatchLimits, BufferLimits};
use crate::domain::units::ByteSize;

/// Reads all settings.
pub(super) fn settings(input: &mut SettingsReader<'_>) -> Result<ReceiverSettings, ErrorReported> {
    let listeners = listeners(input);
    let destination = destination(input, &listeners);
    let limits = limits(input);
    let overflow = input.read(&t::OVERFLOW);
    let limits_file = input.read(&t::LIMITS_FILE);
    let batch = batch(input);
    let concurrency = input.read(&t::CONCURRENCY);
    let max_request_bytes = max_request_bytes(input, limits.as_ref().ok());
    let drain_timeout = input.read(&t::DRAIN_TIMEOUT);
    let log = log::settings(input);
    let workers = input.read(&t::WORKERS);
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
        },
        drain_timeout: drain_timeout?,
        log: log?,
        workers: to_nonzero_usize(workers?),
    })
}

fn listeners(input: &mut SettingsReader<'_>) -> ListenAddresses {
    let listeners = ListenAddresses {
        grpc: input.read(&t::GRPC_ADDR),
        http: input.read(&t::HTTP_ADDR),
        admin: input.read(&t::ADMIN_ADDR),
    };
    checks::reject_address_conflicts(input, &listeners);
    listeners
}

fn destination(
    input: &mut SettingsReader<'_>,
    listeners: &ListenAddresses,
) -> Result<Option<DestinationSettings>, ErrorReported> {
    let url = input.read(&t::ENDPOINT);
    let protocol = input.read(&t::PROTOCOL);
    let compression = input.read(&t::COMPRESSION);
    let headers = input.read(&t::HEADERS);
    let headers_file = input.read(&t::HEADERS_FILE);
    let header_files = header_files(input);
    let ca_file = ca_file(input);
    let server_name = input.read(&t::TLS_SERVER_NAME);
    let client_certificate_file = input.read(&t::CLIENT_CERTIFICATE_FILE);
    let client_key_file = input.read(&t::CLIENT_KEY_FILE);
    let timeout = input.read(&t::TIMEOUT);
    checks::check_client_certificate_has_key(input);
    let Some(url) = url? else { return Ok(None) };
    if !url.tls {
        checks::reject_tls_settings(input);
    }
    let protocol = protocol?;
    let endpoint = url.into_endpoint(protocol).map_err(|why| input.add_error(&t::ENDPOINT, why))?;
    checks::reject_own_endpoint(input, &endpoint, listeners);
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
    }))
}

fn header_files(input: &mut SettingsReader<'_>) -> Result<HeaderFiles, ErrorReported> {
    let files = input.read(&t::HEADER_VALUE_FILES);
    let prefixes = input.read(&t::HEADER_VALUE_PREFIXES);
    let optional = input.read(&t::OPTIONAL_HEADERS);
    let mut files = files?;
    let why =
        |error: MissingHeaderFile| format!("must only name headers of HEADER_VALUE_FILES; {error}");
    let with_prefixes = prefixes.and_then(|prefixes| {
        let added = files.add_prefixes(&prefixes);
        added.map_err(|error| input.add_error(&t::HEADER_VALUE_PREFIXES, why(error)))
    });
    let made_optional = optional.and_then(|names| {
        let made = files.make_optional(&names);
        made.map_err(|error| input.add_error(&t::OPTIONAL_HEADERS, why(error)))
    });
    with_prefixes.and(made_optional).map(|()| files)
}

fn ca_file(input: &mut SettingsReader<'_>) -> Result<Option<CaFile>, ErrorReported> {
    let path = input.read(&t::CA_FILE);
    let with_system_roots = input.read(&t::TRUST_SYSTEM_ROOTS);
    match (path?, with_system_roots?) {
        (Some(path), trust) => Ok(Some(CaFile { path, with_system_roots: trust.unwrap_or(false) })),
        (None, Some(false)) => {
            let why = "must not be false unless CA_FILE is set: no certificate would be trusted";
            Err(input.add_error(&t::TRUST_SYSTEM_ROOTS, why))
        }
        (None, _) => Ok(None),
    }
}

fn limits(input: &mut SettingsReader<'_>) -> Result<BufferLimits, ErrorReported> {
    let max_spans = input.read(&t::MAX_SPANS);
    let max_bytes = input.read(&t::MAX_BYTES);
    let max_age = input.read(&t::MAX_AGE);
    Ok(BufferLimits { max_spans: max_spans?.into(), max_bytes: max_bytes?, max_age: max_age? })
}

fn batch(input: &mut SettingsReader<'_>) -> Result<BatchLimits, ErrorReported> {
    let max_spans = input.read(&t::BATCH_MAX_SPANS);
    let max_bytes = input.read(&t::BATCH_MAX_BYTES);
    let linger = input.read(&t::LINGER);
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
    input: &mut SettingsReader<'_>,
    limits: Option<&BufferLimits>,
) -> Result<usize, ErrorReported> {
    let requested = input.read(&t::MAX_REQUEST_BYTES)?;
    let max_bytes = limits.map_or(NonZeroU64::MAX, |limits| limits.max_bytes);
    if requested > max_bytes && input.is_set(&t::MAX_REQUEST_BYTES) {
        let why = format!("must be at most MAX_BYTES, which is {}", ByteSize(max_bytes.get()));
        return Err(input.add_error(&t::MAX_REQUEST_BYTES, why));
    }
    Ok(usize::try_from(requested.min(max_bytes).get()).unwrap_or(usize::MAX))
}

fn to_nonzero_usize(number: NonZeroU32) -> NonZeroUsize {
    NonZeroUsize::try_from(number).unwrap_or(NonZeroUsize::MAX)
}
