//! Certificates in PEM files as they occur: with comments, byte order marks, indentation, other
//! sections, and damaged ones.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use x509_parser::parse_x509_certificate;

const BEGIN: &str = "-----BEGIN ";
/// The label of a certificate, and the older and the extended one that OpenSSL reads as well.
const LABEL: &str = "CERTIFICATE-----";
const OLD_LABEL: &str = "X509 CERTIFICATE-----";
/// Such a certificate is followed by what it is trusted for.
const TRUSTED_LABEL: &str = "TRUSTED CERTIFICATE-----";

/// A section that is labelled as a certificate.
pub(super) type CertificateSection = Result<CertificateDer<'static>, &'static str>;

/// Returns the certificates of a file in their order, with the reason for each unreadable one.
/// Everything that is no certificate is ignored.
pub(super) fn certificates(pem: &[u8]) -> Vec<CertificateSection> {
    let text = String::from_utf8_lossy(pem);
    // Each section is read on its own, so that one without an end does not hide the next.
    text.split(BEGIN).skip(1).filter_map(certificate).collect()
}

/// Reads a section from its label on; `None` if the label is not that of a certificate.
fn certificate(section: &str) -> Option<CertificateSection> {
    let is_certificate = |label: &&str| section.starts_with(*label);
    let label = [LABEL, OLD_LABEL, TRUSTED_LABEL].into_iter().find(is_certificate)?;
    let mut lines = format!("{BEGIN}{LABEL}\n");
    for line in section.lines().skip(1) {
        lines.push_str(&line.trim().replace(label, LABEL));
        lines.push('\n');
    }
    let der = CertificateDer::from_pem_slice(lines.as_bytes());
    let der = der.map_err(|error| pem_reason(&error, "it is empty"));
    Some(if label == TRUSTED_LABEL { der.and_then(without_trust) } else { der })
}

fn without_trust(mut der: CertificateDer<'static>) -> CertificateSection {
    let (rest, _) = parse_x509_certificate(&der).map_err(|_| "it is not an X.509 certificate")?;
    let length = der.len() - rest.len();
    der = der.get(..length).unwrap_or_default().to_vec().into();
    Ok(der)
}

/// Describes the error without the PEM reader's own message, which may quote the file.
pub(super) const fn pem_reason(error: &PemError, nothing_found: &'static str) -> &'static str {
    match error {
        PemError::NoItemsFound => nothing_found,
        PemError::Base64Decode(_) => "a PEM section is not valid base64",
        PemError::MissingSectionEnd { .. } => "a PEM section has no end",
        PemError::IllegalSectionStart { .. } => "the first line of a PEM section is malformed",
        _ => "it is not valid PEM",
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn issued() -> (String, CertificateDer<'static>) {
        let params = CertificateParams::new(vec!["traces.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        (certificate.pem(), certificate.der().clone())
    }

    #[test]
    fn what_surrounds_a_certificate_is_ignored() {
        let (pem, der) = issued();
        let key = KeyPair::generate().unwrap().serialize_pem();
        let indented = format!("    {}", pem.replace('\n', "\n    "));
        for text in [
            format!("\u{feff}{pem}"),
            pem.replace('\n', "\r\n"),
            pem.trim_end().to_owned(),
            format!("subject=CN = traces.example\n\n{pem}\nissuer=…\n"),
            format!("{key}{pem}{key}"),
            indented,
        ] {
            assert_eq!(certificates(text.as_bytes()), [Ok(der.clone())], "{text}");
        }
        let latin1 = [b"# Zertifikat f\xfcr uns\n", pem.as_bytes()].concat();
        assert_eq!(certificates(&latin1), [Ok(der)]);
    }

    #[test]
    fn older_labels_and_appended_trust_settings_are_understood() {
        let (pem, der) = issued();
        let x509 = pem.replace(" CERTIFICATE-", " X509 CERTIFICATE-");
        assert_eq!(certificates(x509.as_bytes()), [Ok(der.clone())]);

        let settings = [der.as_ref(), b"\x30\x03\x0c\x01x"].concat();
        let trusted = encoded(&settings).replace(" CERTIFICATE-", " TRUSTED CERTIFICATE-");
        assert_eq!(certificates(trusted.as_bytes()), [Ok(der)]);
    }

    fn encoded(der: &[u8]) -> String {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn a_damaged_section_does_not_hide_the_next() {
        let (pem, der) = issued();
        let not_base64 = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
        let no_end = pem.split("-----END").next().unwrap();
        let no_dashes = pem.replacen("-----\n", "\n", 1);
        for damaged in [not_base64, no_end, &no_dashes] {
            let found = certificates(format!("{damaged}{pem}").as_bytes());

            assert_eq!(found.last(), Some(&Ok(der.clone())), "{damaged}");
            assert!(found.len() == 1 || found[0].is_err(), "{damaged}: {found:?}");
        }
    }
}
