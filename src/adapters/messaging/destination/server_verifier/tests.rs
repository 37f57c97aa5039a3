use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::adapters::messaging::destination::tls_remedy::{TlsContext, tls_remedy};

/// A certificate of X.509 version 1, as `openssl x509 -req -signkey` makes it.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBIzCBywIUItwRTP8tjF/M5H2AzLW0Y/KGmOIwCgYIKoZIzj0EAwIwFDESMBAG
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNzIyMTkxOVoYDzIxMjYxMTAzMjIxOTE5
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AASn3fIoSNVy/qZ6MsZ8dBNcw4qp1dfDr3S4arWiOVPCTgb5rZ5bXmbj8Z1u/DDS
WCyJXO5U4t8CnAhnj/dKVWlmMAoGCCqGSM49BAMCA0cAMEQCIEL9mmzp/qjsaTXe
QLojP137SJyS/dk4fPBt22SzefAIAiA3nXexOAjl39E06t4O32liAKxNmKqgX/WG
R+5Rov3DMA==
-----END CERTIFICATE-----
";
/// 2100-01-01, within the validity of every certificate that says nothing else.
const NOW: u64 = 4_102_444_800;

/// Returns what `openssl req -x509` makes: a certificate that signs itself, of an authority.
fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    params.self_signed(&key).unwrap().der().clone()
}

/// Verifies `presented` for `name`, where the file holds `trusted`; fails with the remedy.
fn verified(
    trusted: &CertificateDer<'static>,
    presented: &CertificateDer<'_>,
    name: &str,
) -> Result<(), (Error, &'static str)> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = ServerVerifier::new(roots, vec![trusted.clone()], provider).unwrap();
    let name = ServerName::try_from(name).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
    let context = TlsContext { has_ca_file: true, has_client_certificate: false };
    let result = verifier.verify_server_cert(presented, &[], &name, &[], now);
    result.map(|_| ()).map_err(|error| (error.clone(), tls_remedy(&error, context)))
}

#[test]
fn a_certificate_that_is_trusted_itself_is_accepted_as_a_server() {
    let authority = self_signed(|_| {});
    let plain = self_signed(|params| params.is_ca = IsCa::NoCa);
    let for_servers = self_signed(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let for_anything =
        self_signed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]);
    for certificate in [authority, plain, for_servers, for_anything] {
        assert_eq!(verified(&certificate, &certificate, "localhost"), Ok(()));
    }
}

#[test]
fn a_trusted_certificate_of_another_authority_is_accepted_as_a_server() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, key).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap().der().clone();

    assert_eq!(verified(&certificate, &certificate, "localhost"), Ok(()));
    let authority = authority.der().clone().into_owned();
    assert_eq!(verified(&authority, &certificate, "localhost"), Ok(()));
}

#[test]
fn a_trusted_certificate_must_hold_the_name() {
    let named = self_signed(|_| {});
    let unnamed = self_signed(|params| params.subject_alt_names.clear());
    for (certificate, name, expected) in [
        (&named, "other.example", "set the TLS server name"),
        (&named, "127.0.0.1", "set the TLS server name"),
        (&unnamed, "localhost", "no subjectAltName, and the common name does not count"),
    ] {
        let (error, remedy) = verified(certificate, certificate, name).unwrap_err();

        assert!(remedy.contains(expected), "{error}{remedy}");
    }
}

#[test]
fn a_trusted_certificate_must_be_valid_now() {
    let expired = self_signed(|params| params.not_after = date_time_ymd(2099, 12, 31));
    let future = self_signed(|params| params.not_before = date_time_ymd(2100, 1, 2));
    for (certificate, expected) in
        [(expired, "renew the server's certificate"), (future, "correct the clock")]
    {
        let (error, remedy) = verified(&certificate, &certificate, "localhost").unwrap_err();

        assert!(remedy.contains(expected), "{error}{remedy}");
    }
}

#[test]
fn a_trusted_certificate_must_be_for_servers() {
    let clients = self_signed(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });

    let (error, remedy) = verified(&clients, &clients, "localhost").unwrap_err();

    assert_eq!(error, CertificateError::InvalidPurpose.into());
    assert!(remedy.contains("serverAuth"), "{remedy}");
}

#[test]
fn another_certificate_of_the_trusted_key_is_not_the_trusted_one() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let trusted = params.self_signed(&key).unwrap().der().clone();
    params.serial_number = Some(7.into());
    let other = params.self_signed(&key).unwrap();

    let (error, remedy) = verified(&trusted, other.der(), "localhost").unwrap_err();

    assert!(remedy.contains("set the CA file to exactly this certificate"), "{error}{remedy}");
}

#[test]
fn a_certificate_of_version_1_has_no_names() {
    let certificate = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).unwrap();

    let (error, remedy) = verified(&certificate, &certificate, "localhost").unwrap_err();

    assert!(remedy.contains("version 1"), "{error}{remedy}");
}

#[test]
fn an_unknown_certificate_is_refused() {
    let (error, remedy) = verified(
        &self_signed(|_| {}),
        &self_signed(|params| params.is_ca = IsCa::NoCa),
        "localhost",
    )
    .unwrap_err();

    assert!(remedy.contains("is not in the CA file"), "{error}{remedy}");
}
