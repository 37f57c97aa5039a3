//! Issues the certificate authority, ECDSA over P-256, and leaves for the webhook's names.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, ServerName};

use super::{served, x509};
use crate::domain::operator::rotation::{CertificateState, Leaf, MAX_AUTHORITIES, Validity};
use crate::ports::operator::certificates::{
    CaBundles, CertificateIssuer, Inspection, IssueError, WebhookTls,
};

/// Issues and inspects the certificates of one webhook. Holds no key: the caller passes them along.
#[derive(Clone, Debug)]
pub struct RcgenIssuer {
    dns_names: Vec<String>,
}

impl RcgenIssuer {
    /// Creates the issuer for the webhook at `host`, `<service>.<namespace>.svc`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        let mut dns_names = vec![host.to_owned()];
        if let Some(short) = host.strip_suffix(".svc") {
            dns_names.extend([short.to_owned(), format!("{host}.cluster.local")]);
        }
        Self { dns_names }
    }

    fn parse_leaf(&self, tls: &WebhookTls, bundle: &[CertificateDer<'_>]) -> Option<ParsedLeaf> {
        let served = served::certified_key(&tls.leaf, &tls.leaf_key).ok()?;
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
    /// The position of its authority in the bundle.
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
        // The last line of a file may lack its newline.
        let all =
            others.iter().fold(first.to_vec(), |all, other| [&all, &b"\n"[..], other].concat());
        x509::pem(x509::authorities(&all).iter().take(MAX_AUTHORITIES))
    }
}

impl CertificateIssuer for RcgenIssuer {
    fn inspect(&self, tls: &WebhookTls) -> Inspection {
        let bundle = x509::authorities(&tls.bundle);
        let signer = signer_index(&tls.authority_key, &bundle);
        let leaf = self.parse_leaf(tls, &bundle).map(|leaf| Leaf {
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
                rotation_requested: tls.is_rotation_pending(),
            },
            bundle: x509::pem(&bundle),
            signer: certificate.map_or_else(Vec::new, |found| x509::pem([found])),
        }
    }

    fn add_authority(
        &self,
        tls: &WebhookTls,
        validity: Validity,
    ) -> Result<WebhookTls, IssueError> {
        let key = KeyPair::generate().map_err(issue_error("generate a key"))?;
        let certificate = authority_params(&key, validity)
            .self_signed(&key)
            .map_err(issue_error("create an authority"))?;
        let old_authorities = self.retained_authorities(tls);
        Ok(WebhookTls {
            bundle: x509::pem([certificate.der()].into_iter().chain(&old_authorities)),
            authority_key: key.serialize_pem().into_bytes(),
            rotation_handled: tls.rotation_requested.clone(),
            ..tls.clone()
        })
    }

    fn issue_leaf(&self, tls: &WebhookTls, validity: Validity) -> Result<WebhookTls, IssueError> {
        self.check_dns_names()?;
        let signer = parse_key(&tls.authority_key)
            .ok_or_else(|| IssueError("ca.key holds no readable key".to_owned()))?;
        let signer = Issuer::new(authority_params(&signer, validity), signer);
        let key = KeyPair::generate().map_err(issue_error("generate a key"))?;
        let certificate = self
            .leaf_params(validity)
            .and_then(|leaf| leaf.signed_by(&key, &signer))
            .map_err(issue_error("issue a certificate"))?;
        Ok(WebhookTls {
            leaf: certificate.pem().into_bytes(),
            leaf_key: key.serialize_pem().into_bytes(),
            ..tls.clone()
        })
    }
}

impl RcgenIssuer {
    /// Refuses names that no TLS client can check: their certificate would never match.
    fn check_dns_names(&self) -> Result<(), IssueError> {
        let is_unusable = |name: &&String| ServerName::try_from(name.as_str()).is_err();
        match self.dns_names.iter().find(is_unusable) {
            None => Ok(()),
            Some(name) => Err(IssueError(format!(
                "{name:?} is not a DNS name that a TLS client can check; correct WEBHOOK_HOST"
            ))),
        }
    }

    /// The authorities that stay beside a new one: the leaf's, and the newest of the others.
    fn retained_authorities(&self, tls: &WebhookTls) -> Vec<CertificateDer<'static>> {
        let mut bundle = x509::authorities(&tls.bundle);
        let leaf = self.parse_leaf(tls, &bundle).map(|leaf| leaf.issuer_index);
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

/// The parameters of the authority with this key. Everything but the validity follows from the key,
/// so the key alone is enough to sign in the authority's name.
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

/// Returns the position in the bundle of the authority in whose name the key signs.
fn signer_index(pem: &[u8], bundle: &[CertificateDer<'_>]) -> Option<usize> {
    let key = parse_key(pem)?;
    let any = Validity { not_before: Duration::ZERO, not_after: Duration::ZERO };
    let own = authority_params(&key, any).self_signed(&key).ok()?;
    bundle.iter().position(|authority| x509::is_same_authority(authority, own.der()))
}

fn parse_key(pem: &[u8]) -> Option<KeyPair> {
    KeyPair::from_pem(std::str::from_utf8(pem).ok()?).ok()
}

fn issue_error(action: &'static str) -> impl Fn(Error) -> IssueError {
    move |error| IssueError(format!("cannot {action} for the webhook: {error}"))
}

#[cfg(test)]
mod tests;
