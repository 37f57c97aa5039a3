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
use crate::domain::rotation::{Holdings, Leaf, MOST_AUTHORITIES, Validity};
use crate::ports::certificates::{Bundles, CertificateIssuer, Inspection, IssueError, Keyring};

/// Makes and reads the certificates of one webhook. Holds no key: they come with every keyring.
#[derive(Clone, Debug)]
pub struct Authority {
    names: Vec<String>,
}

impl Authority {
    /// An authority for the webhook that is called by `host`, `<service>.<namespace>.svc`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        let mut names = vec![host.to_owned()];
        if let Some(short) = host.strip_suffix(".svc") {
            names.extend([short.to_owned(), format!("{host}.cluster.local")]);
        }
        Self { names }
    }

    fn leaf(&self, keyring: &Keyring, bundle: &[CertificateDer<'_>]) -> Option<FoundLeaf> {
        let served = served::certified_key(&keyring.leaf, &keyring.leaf_key).ok()?;
        let certificate = served.cert.first()?;
        let issuer = bundle.iter().position(|authority| {
            x509::is_trusted(&served.cert, std::slice::from_ref(authority))
        })?;
        Some(FoundLeaf {
            issuer,
            validity: x509::validity(certificate)?,
            names_fit: self.names.iter().all(|name| x509::holds_name(certificate, name)),
        })
    }
}

struct FoundLeaf {
    /// Where its authority is in the bundle.
    issuer: usize,
    validity: Validity,
    names_fit: bool,
}

impl Bundles for Authority {
    fn contains(&self, bundle: &[u8], part: &[u8]) -> bool {
        let (bundle, part) = (x509::authorities(bundle), x509::authorities(part));
        !part.is_empty() && part.iter().all(|certificate| bundle.contains(certificate))
    }

    fn share(&self, one: &[u8], other: &[u8]) -> bool {
        let other = x509::authorities(other);
        x509::authorities(one).iter().any(|certificate| other.contains(certificate))
    }

    fn join(&self, first: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        // A line's end between them: the last line of a file may lack its own.
        let all =
            others.iter().fold(first.to_vec(), |all, other| [&all, &b"\n"[..], other].concat());
        x509::pem(x509::authorities(&all).iter().take(MOST_AUTHORITIES))
    }
}

impl CertificateIssuer for Authority {
    fn inspect(&self, keyring: &Keyring) -> Inspection {
        let bundle = x509::authorities(&keyring.bundle);
        let signer = signer(&keyring.authority_key, &bundle);
        let leaf = self.leaf(keyring, &bundle).map(|leaf| Leaf {
            validity: leaf.validity,
            of_signer: signer == Some(leaf.issuer),
            names_fit: leaf.names_fit,
        });
        let certificate = signer.and_then(|index| bundle.get(index));
        Inspection {
            holdings: Holdings {
                signer: certificate.and_then(x509::validity),
                leaf,
                older: bundle.len() - usize::from(signer.is_some()),
                rotation_asked: keyring.asks_for_rotation(),
            },
            bundle: x509::pem(&bundle),
            signer: certificate.map_or_else(Vec::new, |found| x509::pem([found])),
        }
    }

    fn add_authority(&self, keyring: &Keyring, validity: Validity) -> Result<Keyring, IssueError> {
        let key = KeyPair::generate().map_err(failed("a key"))?;
        let certificate =
            authority(&key, validity).self_signed(&key).map_err(failed("an authority"))?;
        let older = self.worth_keeping(keyring);
        Ok(Keyring {
            bundle: x509::pem([certificate.der()].into_iter().chain(&older)),
            authority_key: key.serialize_pem().into_bytes(),
            rotation_done: keyring.rotation_asked.clone(),
            ..keyring.clone()
        })
    }

    fn issue_leaf(&self, keyring: &Keyring, validity: Validity) -> Result<Keyring, IssueError> {
        let signer = key(&keyring.authority_key)
            .ok_or_else(|| IssueError("ca.key holds no key that can be read".to_owned()))?;
        let signer = Issuer::new(authority(&signer, validity), signer);
        let key = KeyPair::generate().map_err(failed("a key"))?;
        let certificate = self
            .leaf_parameters(validity)
            .and_then(|leaf| leaf.signed_by(&key, &signer))
            .map_err(failed("a certificate"))?;
        Ok(Keyring {
            leaf: certificate.pem().into_bytes(),
            leaf_key: key.serialize_pem().into_bytes(),
            ..keyring.clone()
        })
    }
}

impl Authority {
    /// The authorities that stay beside a new one: the leaf's, and the newest of the others.
    fn worth_keeping(&self, keyring: &Keyring) -> Vec<CertificateDer<'static>> {
        let mut bundle = x509::authorities(&keyring.bundle);
        let leaf = self.leaf(keyring, &bundle).map(|leaf| leaf.issuer);
        while bundle.len() >= MOST_AUTHORITIES {
            let last = bundle.len() - 1;
            bundle.remove(if leaf == Some(last) { last - 1 } else { last });
        }
        bundle
    }

    fn leaf_parameters(&self, validity: Validity) -> Result<CertificateParams, Error> {
        let mut leaf = parameters(CertificateParams::new(self.names.clone())?, validity);
        leaf.distinguished_name = name("tracebuffer webhook");
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        Ok(leaf)
    }
}

/// The certificate of the authority with this key. But for its validity it follows from the key, so
/// that the key alone can sign in its name.
fn authority(key: &KeyPair, validity: Validity) -> CertificateParams {
    let mut authority = parameters(CertificateParams::default(), validity);
    let id = STANDARD_NO_PAD.encode(authority.key_identifier(key));
    authority.distinguished_name = name(&format!("tracebuffer webhook CA {id}"));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
}

fn parameters(mut parameters: CertificateParams, validity: Validity) -> CertificateParams {
    let at = |since_epoch: Duration| date_time_ymd(1970, 1, 1) + since_epoch;
    parameters.not_before = at(validity.not_before);
    parameters.not_after = at(validity.not_after);
    parameters
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// Returns where in the bundle the authority is in whose name a key signs.
fn signer(pem: &[u8], bundle: &[CertificateDer<'_>]) -> Option<usize> {
    let key = key(pem)?;
    let any = Validity { not_before: Duration::ZERO, not_after: Duration::ZERO };
    let own = authority(&key, any).self_signed(&key).ok()?;
    let own = anchor(own.der())?;
    let is_same = |other: TrustAnchor<'_>| {
        other.subject == own.subject && other.subject_public_key_info == own.subject_public_key_info
    };
    bundle.iter().position(|authority| anchor(authority).is_some_and(is_same))
}

fn anchor(certificate: &CertificateDer<'_>) -> Option<TrustAnchor<'static>> {
    let mut store = RootCertStore::empty();
    store.add(certificate.clone().into_owned()).ok()?;
    store.roots.pop()
}

fn key(pem: &[u8]) -> Option<KeyPair> {
    KeyPair::from_pem(std::str::from_utf8(pem).ok()?).ok()
}

fn failed(what: &'static str) -> impl Fn(Error) -> IssueError {
    move |error| IssueError(format!("cannot make {what} for the webhook: {error}"))
}

#[cfg(test)]
mod tests;
