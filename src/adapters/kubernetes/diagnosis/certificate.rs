//! Certificates in PEM: their expiry and their trust.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::adapters::kubernetes::certificates::x509;

pub(super) use x509::is_trusted;

/// One certificate.
pub(super) type Certificate = CertificateDer<'static>;

/// Parses the certificates of a PEM text.
///
/// # Errors
///
/// The reason, if the text has no certificate or one that cannot be parsed.
pub(super) fn parse_pem(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let certificates = Certificate::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("no PEM certificate was found".to_owned());
    }
    if certificates.iter().any(|certificate| x509::validity(certificate).is_none()) {
        return Err("a certificate is not valid X.509".to_owned());
    }
    Ok(certificates)
}

/// Returns when the last of the certificates expires, in seconds since 1970.
pub(super) fn latest_expiry(certificates: &[Certificate]) -> i64 {
    let validities = certificates.iter().filter_map(x509::validity);
    validities.map(|validity| seconds(validity.not_after)).max().unwrap_or_default()
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kubernetes::diagnosis::testing::{NOW, webhook_tls};

    #[test]
    fn the_last_expiry_counts() {
        let pem = [webhook_tls(NOW + 3_600).leaf, webhook_tls(NOW - 60).leaf].concat();

        let certificates = parse_pem(&pem).unwrap();

        assert_eq!(certificates.len(), 2);
        assert_eq!(latest_expiry(&certificates), NOW + 3_600);
    }

    #[test]
    fn a_text_without_certificates_is_rejected() {
        let malformed = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(parse_pem(b""), Err("no PEM certificate was found".to_owned()));
        assert!(parse_pem(malformed.as_bytes()).is_err());
    }
}
