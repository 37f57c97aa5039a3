//! Reads certificates: their validity, their names, and which authority issued them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use x509_parser::certificate::X509CertificateParser;
use x509_parser::nom::Parser;
use x509_parser::time::ASN1Time;

use crate::domain::operator::rotation::Validity;

/// Returns the authorities of a bundle without duplicates and without unreadable ones.
pub(super) fn authorities(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    let mut found: Vec<CertificateDer<'static>> = vec![];
    for certificate in CertificateDer::pem_slice_iter(pem).filter_map(Result::ok) {
        let is_readable = validity(&certificate).is_some();
        if is_readable && !found.contains(&certificate) {
            found.push(certificate);
        }
    }
    found
}

/// Returns the certificates as PEM.
pub(super) fn pem<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> Vec<u8> {
    const LINE: usize = 64;
    let mut text = vec![];
    for certificate in certificates {
        text.extend_from_slice(b"-----BEGIN CERTIFICATE-----\n");
        for line in STANDARD.encode(certificate).as_bytes().chunks(LINE) {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text.extend_from_slice(b"-----END CERTIFICATE-----\n");
    }
    text
}

/// Returns when a certificate is valid; `None` if it is not exactly one readable certificate.
pub(in crate::adapters::kubernetes) fn validity(
    certificate: &CertificateDer<'_>,
) -> Option<Validity> {
    let since_epoch =
        |time: ASN1Time| u64::try_from(time.timestamp()).ok().map(Duration::from_secs);
    let (rest, certificate) = parser().parse(certificate).ok()?;
    let found = certificate.validity();
    let validity = Validity {
        not_before: since_epoch(found.not_before)?,
        not_after: since_epoch(found.not_after)?,
    };
    rest.is_empty().then_some(validity)
}

/// Returns whether two certificates have the same subject and public key: certificates of one
/// authority, whatever their validity.
pub(super) fn is_same_authority(one: &CertificateDer<'_>, other: &CertificateDer<'_>) -> bool {
    let (Ok((_, one)), Ok((_, other))) = (parser().parse(one), parser().parse(other)) else {
        return false;
    };
    one.subject().as_raw() == other.subject().as_raw()
        && one.public_key().raw == other.public_key().raw
}

/// Extensions are left to the TLS library.
fn parser() -> X509CertificateParser {
    X509CertificateParser::new().with_deep_parse_extensions(false)
}

/// Returns whether a client that trusts only `roots` accepts the first certificate of `chain` at some
/// time in its validity.
pub(in crate::adapters::kubernetes) fn is_trusted(
    chain: &[CertificateDer<'_>],
    roots: &[CertificateDer<'_>],
) -> bool {
    let Some((leaf, intermediates)) = chain.split_first() else { return false };
    if roots.iter().any(|root| root == leaf) {
        return true;
    }
    let Some(validity) = validity(leaf) else { return false };
    let Ok(parsed) = ParsedCertificate::try_from(leaf) else { return false };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned().map(CertificateDer::into_owned));
    verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &store,
        intermediates,
        UnixTime::since_unix_epoch(validity.not_after),
        default_provider().signature_verification_algorithms.all,
    )
    .is_ok()
}

/// Returns whether a certificate is valid for `name`.
pub(super) fn holds_name(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
}

#[cfg(test)]
mod tests;
