use rcgen::{CertificateParams, KeyPair};

use super::*;

fn certificate() -> String {
    let key = KeyPair::generate().unwrap();
    CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem()
}

fn files(ca: Option<CaFile>) -> TlsFiles {
    TlsFiles { ca, client: None, last_read: Mutex::default() }
}

/// Reads the authorities of a file that holds `pem`.
fn trust(pem: &str, with_system_roots: bool) -> Result<Trust, Failure> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, pem).unwrap();
    files(Some(CaFile { path, with_system_roots })).trust()
}

#[test]
fn the_built_in_roots_are_trusted_unless_a_file_replaces_them() {
    let built_in = webpki_roots::TLS_SERVER_ROOTS.len();
    let roots = |with| trust(&certificate(), with).unwrap().roots.len();

    assert_eq!(files(None).trust().unwrap().roots.len(), built_in);
    assert_eq!(roots(true), built_in + 1);
    assert_eq!(roots(false), 1);
}

#[test]
fn a_missing_file_is_a_failure_even_with_the_built_in_roots() {
    let ca = Some(CaFile { path: "/nonexistent/ca.pem".into(), with_system_roots: true });

    let failure = files(ca).trust().unwrap_err();

    assert!(failure.message.contains("the CA file /nonexistent/ca.pem: No such file"));
}

/// A section with the label of a certificate and other content.
const NO_CERTIFICATE_DER: &str =
    "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";

#[test]
fn an_unreadable_certificate_of_a_bundle_does_not_spoil_the_others() {
    let bundle = format!("{}{NO_CERTIFICATE_DER}{}", certificate(), certificate());

    let trust = trust(&bundle, false).unwrap();

    assert_eq!((trust.roots.len(), trust.certificates.len()), (2, 2));
}

#[test]
fn a_bundle_without_a_readable_certificate_is_a_failure_that_says_why() {
    let failure = trust(NO_CERTIFICATE_DER, true).unwrap_err();

    let why = "it holds no readable certificate: certificate 1 of 1: it is not a valid X.509";
    assert!(failure.message.contains(why), "{}", failure.message);
}

#[test]
fn unreadable_certificates_are_named_by_their_number() {
    let (ok, bad) = (|| Ok(CertificateDer::from(vec![1])), || Err("it is bad"));

    assert_eq!(skipped(&[ok(), ok()]), None);
    assert_eq!(skipped(&[ok(), bad(), ok()]).unwrap(), "certificate 2 of 3: it is bad");
    let many: Vec<_> = (0..7).map(|_| bad()).collect();
    assert_eq!(skipped(&many).unwrap(), "certificates 1, 2, 3, 4, 5, … of 7: it is bad");
}

#[test]
fn a_problem_is_logged_once_until_it_changes() {
    let files = files(None);
    let remembered = |files: &TlsFiles| files.last_read.lock().warnings.clone();

    files.warn_once(Warned::Ca, Some("bad".to_owned()));
    assert_eq!(remembered(&files), ["bad", ""]);
    files.warn_once(Warned::Client, Some("expired".to_owned()));
    files.warn_once(Warned::Ca, None);

    assert_eq!(remembered(&files), ["", "expired"]);
}
