//! Certificates in PEM: which they are, and how long they hold.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    der: Vec<u8>,
    /// When it ends, in seconds since 1970.
    pub(super) ends: i64,
}

/// Reads the certificates of a PEM text.
///
/// # Errors
///
/// Why it holds none, or one that cannot be read.
pub(super) fn read(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .map(|der| {
            let der = der.map_err(|error| error.to_string())?;
            let (_, parsed) = parse_x509_certificate(&der).map_err(|error| error.to_string())?;
            let ends = parsed.validity().not_after.timestamp();
            Ok(Certificate { der: der.to_vec(), ends })
        })
        .collect::<Result<Vec<_>, String>>()?;
    if certificates.is_empty() {
        return Err("it holds no PEM certificate".to_owned());
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kubernetes::diagnosis::testing::{NOW, certificate};

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let pem = certificate(NOW + 3_600) + &certificate(NOW - 60);

        let ends: Vec<_> = read(pem.as_bytes()).unwrap().iter().map(|c| c.ends).collect();

        assert_eq!(ends, [NOW + 3_600, NOW - 60]);
    }

    #[test]
    fn what_is_no_certificate_is_told() {
        let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(read(b""), Err("it holds no PEM certificate".to_owned()));
        assert!(read(rubbish.as_bytes()).is_err());
    }
}
