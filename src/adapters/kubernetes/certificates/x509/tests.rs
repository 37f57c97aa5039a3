use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

fn certificate(from: i32, until: i32) -> CertificateDer<'static> {
    let mut parameters = CertificateParams::new(vec!["a.b".to_owned()]).unwrap();
    parameters.not_before = date_time_ymd(from, 1, 1);
    parameters.not_after = date_time_ymd(until, 1, 1);
    parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

#[test]
fn validity_is_read_from_both_time_formats_of_certificates() {
    let year = |year: i32| {
        let seconds = date_time_ymd(year, 1, 1).unix_timestamp();
        Duration::from_secs(u64::try_from(seconds).unwrap())
    };
    for (from, until) in [(1999, 2030), (2049, 2051), (2060, 4000)] {
        let found = validity(&certificate(from, until)).unwrap();

        assert_eq!((found.not_before, found.not_after), (year(from), year(until)));
    }
}

#[test]
fn a_truncated_certificate_and_one_with_trailing_data_are_rejected() {
    let whole = certificate(2000, 2030);
    for length in 0..whole.len() {
        assert_eq!(validity(&CertificateDer::from(&whole[..length])), None, "{length}");
    }
    assert_eq!(validity(&CertificateDer::from([&whole[..], b"x"].concat())), None);
}

#[test]
fn written_pem_equals_that_of_another_encoder() {
    let mut parameters = CertificateParams::new(vec![]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap();

    let written = String::from_utf8(pem([authority.der()])).unwrap();

    assert_eq!(written, authority.pem().replace('\r', ""));
    assert_eq!(authorities(written.as_bytes()), [authority.der().clone()]);
}

#[test]
fn a_self_signed_certificate_is_trusted_if_the_bundle_contains_it() {
    let (own, other) = (certificate(2000, 2030), certificate(2000, 2030));

    assert!(is_trusted(std::slice::from_ref(&own), &[other.clone(), own.clone()]));
    assert!(!is_trusted(std::slice::from_ref(&own), &[other]));
    assert!(!is_trusted(&[], &[own]));
}

proptest! {
    #[test]
    fn no_damaged_certificate_causes_a_panic(at in any::<prop::sample::Index>(), value: u8) {
        let mut bytes = certificate(2000, 2030).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let damaged = CertificateDer::from(bytes);

        let _ = validity(&damaged);
        is_trusted(std::slice::from_ref(&damaged), &[certificate(2000, 2030)]);
        holds_name(&damaged, "a.b");
    }
}
