//! Issuing and inspecting certificates. The tests of `ServedCertificate` check that a strict client
//! accepts them.

use super::*;

const HOST: &str = "tracebuffer-webhook.observability.svc";
const NOW: Duration = Duration::from_hours(500_000);

fn issuer() -> RcgenIssuer {
    RcgenIssuer::new(HOST)
}

fn with_authority(tls: &WebhookTls) -> WebhookTls {
    issuer().add_authority(tls, Validity::of_authority(NOW)).unwrap()
}

fn with_leaf(tls: &WebhookTls) -> WebhookTls {
    let signer = issuer().inspect(tls).state.signer.unwrap();
    issuer().issue_leaf(tls, Validity::of_leaf(NOW, signer)).unwrap()
}

fn complete_tls() -> WebhookTls {
    with_leaf(&with_authority(&WebhookTls::default()))
}

#[test]
fn issued_certificates_are_read_back() {
    let tls = complete_tls();

    let found = issuer().inspect(&tls);

    let signer = Validity::of_authority(NOW);
    assert_eq!(
        found.state,
        CertificateState {
            signer: Some(signer),
            leaf: Some(Leaf {
                validity: Validity::of_leaf(NOW, signer),
                issued_by_signer: true,
                names_match: true
            }),
            old_authorities: 0,
            rotation_requested: false,
        }
    );
    assert_eq!(found.bundle, tls.bundle);
    assert_eq!(found.signer, tls.bundle);
}

#[test]
fn an_empty_secret_has_neither_authority_nor_leaf() {
    assert_eq!(issuer().inspect(&WebhookTls::default()), Inspection::default());
}

#[test]
fn a_new_authority_is_put_first_and_does_not_change_the_leaf() {
    let before = complete_tls();

    let after = with_authority(&before);

    let found = issuer().inspect(&after);
    assert_eq!(found.state.old_authorities, 1);
    assert!(!found.state.leaf.unwrap().issued_by_signer);
    assert!(after.bundle.ends_with(&before.bundle), "the older one is kept");
    assert!(after.bundle.starts_with(&found.signer), "the newest comes first");
    assert_eq!((&after.leaf, &after.leaf_key), (&before.leaf, &before.leaf_key));
    let renewed = issuer().inspect(&with_leaf(&after)).state;
    assert!(renewed.leaf.unwrap().issued_by_signer);
    assert_eq!(renewed.old_authorities, 1);
}

#[test]
fn a_new_authority_completes_a_requested_rotation_and_a_new_leaf_does_not() {
    let asked = WebhookTls { rotation_requested: Some("now".to_owned()), ..complete_tls() };
    assert!(issuer().inspect(&asked).state.rotation_requested);

    assert!(issuer().inspect(&with_leaf(&asked)).state.rotation_requested);
    assert!(!issuer().inspect(&with_authority(&asked)).state.rotation_requested);
}

#[test]
fn unreadable_parts_of_a_secret_count_as_missing() {
    let whole = complete_tls();
    let cut = |pem: &[u8]| pem[..pem.len() / 2].to_vec();
    let other = complete_tls();

    let no_key = WebhookTls { authority_key: cut(&whole.authority_key), ..whole.clone() };
    let found = issuer().inspect(&no_key).state;
    assert_eq!((found.signer, found.old_authorities, found.leaf.is_some()), (None, 1, true));

    let foreign_key = WebhookTls { authority_key: other.authority_key.clone(), ..whole.clone() };
    assert_eq!(issuer().inspect(&foreign_key).state.signer, None);

    for broken in [
        WebhookTls { leaf: cut(&whole.leaf), ..whole.clone() },
        WebhookTls { leaf_key: cut(&whole.leaf_key), ..whole.clone() },
        WebhookTls { leaf_key: other.leaf_key.clone(), ..whole.clone() },
        WebhookTls { leaf: other.leaf.clone(), leaf_key: other.leaf_key.clone(), ..whole.clone() },
        WebhookTls { leaf: b"\xff\xfe".to_vec(), ..whole.clone() },
    ] {
        let found = issuer().inspect(&broken).state;
        assert_eq!(found.leaf, None, "{broken:?}");
        assert!(found.signer.is_some());
    }

    let no_bundle = WebhookTls { bundle: cut(&whole.bundle), ..whole };
    assert_eq!(issuer().inspect(&no_bundle), Inspection::default());
}

#[test]
fn a_readable_authority_is_kept_despite_garbage_around_it() {
    let whole = complete_tls();
    let mut bundle =
        b"garbage\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    bundle.extend_from_slice(&whole.bundle);
    bundle.extend_from_slice(&whole.bundle);
    let dirty = WebhookTls { bundle, authority_key: vec![], ..whole.clone() };

    let found = issuer().inspect(&dirty);
    assert_eq!(found.bundle, whole.bundle);
    assert!(with_authority(&dirty).bundle.ends_with(&whole.bundle));
}

#[test]
fn a_leaf_for_another_host_does_not_match() {
    let tls = complete_tls();

    let found = RcgenIssuer::new("other.observability.svc").inspect(&tls);

    assert!(!found.state.leaf.unwrap().names_match);
}

#[test]
fn the_leaf_has_every_name_of_the_service_and_no_other() {
    let leaf = &x509::authorities(&complete_tls().leaf)[0];

    for name in [
        "tracebuffer-webhook.observability.svc",
        "tracebuffer-webhook.observability",
        "tracebuffer-webhook.observability.svc.cluster.local",
    ] {
        assert!(x509::holds_name(leaf, name), "{name}");
    }
    for name in ["tracebuffer-webhook", "x.observability.svc", "not a name"] {
        assert!(!x509::holds_name(leaf, name), "{name}");
    }
}

#[test]
fn every_authority_and_every_leaf_has_its_own_key_and_name() {
    let (a, b) = (complete_tls(), complete_tls());

    let [one, other] = [&a, &b].map(|tls| x509::authorities(&tls.bundle).remove(0));
    let parse = |certificate| x509_parser::parse_x509_certificate(certificate).unwrap().1;
    let (parsed, other) = (parse(&one), parse(&other));
    assert_ne!(parsed.subject(), other.subject());
    assert_ne!(parsed.public_key(), other.public_key());
    assert!(x509::is_same_authority(&one, &one.clone()));
    assert_ne!(a.leaf_key, b.leaf_key);
    assert_ne!(a.leaf_key, a.authority_key);
    assert_ne!(with_leaf(&a).leaf_key, a.leaf_key);
    let key = parse_key(&a.authority_key).unwrap();
    assert!(key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256);
}

#[test]
fn without_a_key_no_leaf_is_issued_and_the_error_names_the_key() {
    let error =
        issuer().issue_leaf(&WebhookTls::default(), Validity::of_authority(NOW)).unwrap_err();

    assert_eq!(error.to_string(), "ca.key holds no readable key");
}

#[test]
fn a_bundle_contains_its_parts_and_no_bundle_contains_an_empty_one() {
    let (one, two) = (complete_tls(), complete_tls());
    let both = [&one.bundle[..], &two.bundle].concat();

    assert!(issuer().contains(&both, &one.bundle));
    assert!(issuer().contains(&both, &[&two.bundle[..], &one.bundle].concat()));
    assert!(!issuer().contains(&one.bundle, &both));
    assert!(!issuer().contains(&both, b""));
    assert!(!issuer().contains(b"", b""));
}

#[test]
fn debug_output_shows_no_private_key() {
    let text = format!("{:?}", complete_tls());

    assert!(text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE"), "{text}");
}

#[test]
fn a_bundle_is_bounded_and_keeps_the_authority_of_the_leaf() {
    let mut tls = complete_tls();
    for _ in 0..2 * MAX_AUTHORITIES {
        tls = with_authority(&tls);
    }

    let found = issuer().inspect(&tls).state;

    assert_eq!(found.old_authorities, MAX_AUTHORITIES - 1);
    assert!(found.leaf.is_some());
}

#[test]
fn no_leaf_is_issued_for_a_name_that_no_client_could_verify() {
    let long_label = format!("{}.ns.svc", "a".repeat(64));
    let long_name = format!("{}svc", "abcd.".repeat(48));
    for host in [&*long_label, "webhook.1", "webhook.0x1f", &*long_name] {
        let issuer = RcgenIssuer::new(host);
        let validity = Validity::of_authority(Duration::from_hours(24 * 20_000));
        let tls = issuer.add_authority(&WebhookTls::default(), validity).unwrap();

        let IssueError(error) = issuer.issue_leaf(&tls, validity).unwrap_err();

        assert!(error.contains(host) && error.contains("WEBHOOK_HOST"), "{error}");
    }
}
