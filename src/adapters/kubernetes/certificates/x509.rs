//! What must be known of a certificate: its validity, and which authority issued it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use yasna::models::{GeneralizedTime, UTCTime};
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, BERReaderSeq, Tag, tags};

use crate::domain::operator::rotation::Validity;

/// Returns the authorities of a bundle, each once, those that cannot be read left out.
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

/// Returns certificates as PEM.
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

/// Returns when a certificate is valid, or nothing if it is none.
pub(in crate::adapters::kubernetes) fn validity(
    certificate: &CertificateDer<'_>,
) -> Option<Validity> {
    yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|signed| {
            let validity = signed.next().read_sequence(|certificate| {
                certificate.read_optional(|version| version.read_tagged(Tag::context(0), part))?;
                skip(certificate, &["serial number", "signature algorithm", "issuer"])?;
                let validity = certificate.next().read_sequence(|validity| {
                    let not_before = time(validity.next())?;
                    Ok(Validity { not_before, not_after: time(validity.next())? })
                })?;
                skip(certificate, &["subject", "public key"])?;
                for _ in ["issuer's unique id", "subject's unique id", "extensions"] {
                    certificate.read_optional(part)?;
                }
                Ok(validity)
            })?;
            skip(signed, &["signature algorithm", "signature"])?;
            Ok(validity)
        })
    })
    .ok()
}

fn skip(reader: &mut BERReaderSeq<'_, '_>, parts: &[&str]) -> ASN1Result<()> {
    parts.iter().try_for_each(|_| part(reader.next()))
}

fn part(reader: BERReader<'_, '_>) -> ASN1Result<()> {
    reader.read_der().map(drop)
}

fn time(reader: BERReader<'_, '_>) -> ASN1Result<Duration> {
    let seconds = if reader.lookahead_tag()? == tags::TAG_UTCTIME {
        UTCTime::datetime(&reader.read_utctime()?).unix_timestamp()
    } else {
        GeneralizedTime::datetime(&reader.read_generalized_time()?).unix_timestamp()
    };
    let seconds = u64::try_from(seconds).map_err(|_| ASN1Error::new(ASN1ErrorKind::Invalid))?;
    Ok(Duration::from_secs(seconds))
}

/// Returns whether a client that trusts `roots` and nothing else accepts the first certificate of
/// `chain`, whenever it is valid.
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

/// Returns whether a certificate holds `name`.
pub(super) fn holds_name(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
}

#[cfg(test)]
mod tests;
