//! The certificate authority: ECDSA over P-256, and a leaf for the webhook's names.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::{served, x509};
use crate::domain::operator::rotation::{CertificateState, Leaf, MAX_AUTHORITIES, Validity};
use crate::ports::operator::certificates::{
    CaBundles, CertificateIssuer, Inspection, IssueError, WebhookTls,
};

/// Makes and reads the certificates of one webhook. Holds no key: they come with every keyring.
#[derive(Clone, Debug)]
pub struct RcgenIssuer {
    dns_names: Vec<String>,
}

impl RcgenIssuer {
    /// An authority for the webhook that is called by `host`, `<service>.<namespace>.svc`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        let mut names = vec![host.to_owned()];
        if let Some(short) = host.strip_suffix(".svc") {
            names.extend([short.to_owned(), format!("{host}.cluster.local")]);
        }
        Self { dns_names: names }
    }

    fn parse_leaf(
        &self,
        keyring: &WebhookTls,
        bundle: &[CertificateDer<'_>],
    ) -> Option<ParsedLeaf> {
        let served = served::certified_key(&keyring.leaf, &keyring.leaf_key).ok()?;
        let certificate = served.cert.first()?;
        let issuer = bundle.iter().position(|authority| {
            x509::is_trusted(&served.cert, std::slice::from_ref(authority))
        })?;
        Some(ParsedLeaf {
            issuer_index: issuer,
            validity: x509::validity(certificate)?,
            names_match: self.dns_names.iter().all(|name| x509::holds_name(certificate, name)),
        })
    }
}

struct ParsedLeaf {
    /// Where its authority is in the bundle.
    issuer_index: usize,
    validity: Validity,
    names_match: bool,
}

impl CaBundles for RcgenIssuer {
    fn contains(&self, bundle: &[u8], part: &[u8]) -> bool {
        let (bundle, part) = (x509::authorities(bundle), x509::authorities(part));
        !part.is_empty() && part.iter().all(|certificate| bundle.contains(certificate))
    }

    fn intersects(&self, one: &[u8], other: &[u8]) -> bool {
        let other = x509::authorities(other);
        x509::authorities(one).iter().any(|certificate| other.contains(certificate))
    }

    fn merge(&self, first: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        // A line's end between them: the last line of a file may lack its own.
        let all =
            others.iter().fold(first.to_vec(), |all, other| [&all, &b"\n"[..], other].concat());
        x509::pem(x509::authorities(&all).iter().take(MAX_AUTHORITIES))
    }
}

impl CertificateIssuer for RcgenIssuer {
    fn inspect(&self, keyring: &WebhookTls) -> Inspection {
        let bundle = x509::authorities(&keyring.bundle);
        let signer = signer_index(&keyring.authority_key, &bundle);
        let leaf = self.parse_leaf(keyring, &bundle).map(|leaf| Leaf {
            validity: leaf.validity,
            issued_by_signer: signer == Some(leaf.issuer_index),
            names_match: leaf.names_match,
        });
        let certificate = signer.and_then(|index| bundle.get(index));
        Inspection {
            state: CertificateState {
                signer: certificate.and_then(x509::validity),
                leaf,
                old_authorities: bundle.len() - usize::from(signer.is_some()),
                rotation_requested: keyring.is_rotation_pending(),
            },
            bundle: x509::pem(&bundle),
            signer: certificate.map_or_else(Vec::new, |found| x509::pem([found])),
        }
    }

    fn add_authority(
        &self,
        keyring: &WebhookTls,
        validity: Validity,
    ) -> Result<WebhookTls, IssueError> {
        let key = KeyPair::generate().map_err(issue_error("a key"))?;
        let certificate = authority_params(&key, validity)
            .self_signed(&key)
            .map_err(issue_error("an authority"))?;
        let older = self.retained_authorities(keyring);
        Ok(WebhookTls {
            bundle: x509::pem([certificate.der()].into_iter().chain(&older)),
            authority_key: key.serialize_pem().into_bytes(),
            rotation_handled: keyring.rotation_requested.clone(),
            ..keyring.clone()
        })
    }

    fn issue_leaf(
        &self,
        keyring: &WebhookTls,
        validity: Validity,
    ) -> Result<WebhookTls, IssueError> {
        let signer = parse_key(&keyring.authority_key)
            .ok_or_else(|| IssueError("ca.key holds no key that can be read".to_owned()))?;
        let signer = Issuer::new(authority_params(&signer, validity), signer);
        let key = KeyPair::generate().map_err(issue_error("a key"))?;
        let certificate = self
            .leaf_params(validity)
            .and_then(|leaf| leaf.signed_by(&key, &signer))
            .map_err(issue_error("a certificate"))?;
        Ok(WebhookTls {
            leaf: certificate.pem().into_bytes(),
            leaf_key: key.serialize_pem().into_bytes(),
            ..keyring.clone()
        })
    }
}

impl RcgenIssuer {
    /// The authorities that stay beside a new one: the leaf's, and the newest of the others.
    fn retained_authorities(&self, keyring: &WebhookTls) -> Vec<CertificateDer<'static>> {
        let mut bundle = x509::authorities(&keyring.bundle);
        let leaf = self.parse_leaf(keyring, &bundle).map(|leaf| leaf.issuer_index);
        while bundle.len() >= MAX_AUTHORITIES {
            let last = bundle.len() - 1;
            bundle.remove(if leaf == Some(last) { last - 1 } else { last });
        }
        bundle
    }

    fn leaf_params(&self, validity: Validity) -> Result<CertificateParams, Error> {
        let mut leaf = with_validity(CertificateParams::new(self.dns_names.clone())?, validity);
        leaf.distinguished_name = distinguished_name("tracebuffer webhook");
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        Ok(leaf)
    }
}

/// The certificate of the authority with this key. But for its validity it follows from the key, so
/// that the key alone can sign in its name.
fn authority_params(key: &KeyPair, validity: Validity) -> CertificateParams {
    let mut authority = with_validity(CertificateParams::default(), validity);
    let id = STANDARD_NO_PAD.encode(authority.key_identifier(key));
    authority.distinguished_name = distinguished_name(&format!("tracebuffer webhook CA {id}"));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
}

fn with_validity(mut parameters: CertificateParams, validity: Validity) -> CertificateParams {
    let at = |since_epoch: Duration| date_time_ymd(1970, 1, 1) + since_epoch;
    parameters.not_before = at(validity.not_before);
    parameters.not_after = at(validity.not_after);
    parameters
}

fn distinguished_name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// Returns where in the bundle the authority is in whose name a key signs.
fn signer_index(pem: &[u8], bundle: &[CertificateDer<'_>]) -> Option<usize> {
    let key = parse_key(pem)?;
    let any = Validity { not_before: Duration::ZERO, not_after: Duration::ZERO };
    let own = authority_params(&key, any).self_signed(&key).ok()?;
    let own = trust_anchor(own.der())?;
    let is_same = |other: TrustAnchor<'_>| {
        other.subject == own.subject && other.subject_public_key_info == own.subject_public_key_info
    };
    bundle.iter().position(|authority| trust_anchor(authority).is_some_and(is_same))
}

fn trust_anchor(certificate: &CertificateDer<'_>) -> Option<TrustAnchor<'static>> {
    let mut store = RootCertStore::empty();
    store.add(certificate.clone().into_owned()).ok()?;
    store.roots.pop()
}

fn parse_key(pem: &[u8]) -> Option<KeyPair> {
    KeyPair::from_pem(std::str::from_utf8(pem).ok()?).ok()
}

fn issue_error(what: &'static str) -> impl Fn(Error) -> IssueError {
    move |error| IssueError(format!("cannot make {what} for the webhook: {error}"))
}

#[cfg(test)]
mod tests;
