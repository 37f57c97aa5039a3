//! An issuer of certificates as text.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::operator::rotation::{CertificateState, Leaf, Validity};
use crate::ports::operator::certificates::{
    CaBundles, CertificateIssuer, Inspection, IssueError, WebhookTls,
};

/// Certificates as text: the authority `A1 from until`, the leaf `L2 A1 from until name`; the key of
/// each is its name.
#[derive(Clone)]
pub(crate) struct FakeIssuer {
    host: &'static str,
    /// Leaves never have the webhook's names.
    never_matches: bool,
    made: Arc<AtomicU64>,
}

impl FakeIssuer {
    pub(crate) fn new() -> Self {
        Self { host: "webhook", never_matches: false, made: Arc::default() }
    }

    /// Creates an issuer whose leaves never have the webhook's names.
    pub(crate) fn that_never_matches() -> Self {
        Self { never_matches: true, ..Self::new() }
    }

    /// Creates an issuer whose names begin after this number.
    pub(crate) fn after(number: u64) -> Self {
        Self { made: Arc::new(AtomicU64::new(number)), ..Self::new() }
    }

    fn name(&self, letter: char) -> String {
        format!("{letter}{}", self.made.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Returns the names of the readable authorities in a bundle.
pub(crate) fn authorities(bundle: &[u8]) -> Vec<String> {
    lines(bundle).into_iter().map(|words| words[0].clone()).collect()
}

/// Returns the authority of a leaf, if the leaf is complete.
pub(crate) fn authority_of(leaf: &[u8]) -> Option<String> {
    let words = words(leaf);
    (words.len() == 5).then(|| words[1].clone())
}

fn words(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).split_whitespace().map(str::to_owned).collect()
}

fn lines(bundle: &[u8]) -> Vec<Vec<String>> {
    let mut found: Vec<_> = bundle.split(|byte| *byte == b'\n').map(words).collect();
    found.retain(|words| words.len() == 3 && words[0].starts_with('A'));
    found.dedup();
    found
}

fn text(lines: &[Vec<String>]) -> Vec<u8> {
    lines.iter().flat_map(|words| (words.join(" ") + "\n").into_bytes()).collect()
}

fn validity(from: &str, until: &str) -> Validity {
    let seconds = |text: &str| Duration::from_secs(text.parse().unwrap());
    Validity { not_before: seconds(from), not_after: seconds(until) }
}

impl CertificateIssuer for FakeIssuer {
    fn inspect(&self, tls: &WebhookTls) -> Inspection {
        let bundle = lines(&tls.bundle);
        let signer = bundle.iter().find(|words| words[0].as_bytes() == tls.authority_key);
        let leaf = words(&tls.leaf);
        let is_usable = leaf.len() == 5
            && leaf[0].as_bytes() == tls.leaf_key
            && bundle.iter().any(|words| words[0] == leaf[1]);
        Inspection {
            state: CertificateState {
                signer: signer.map(|words| validity(&words[1], &words[2])),
                leaf: is_usable.then(|| Leaf {
                    validity: validity(&leaf[2], &leaf[3]),
                    issued_by_signer: signer.is_some_and(|words| words[0] == leaf[1]),
                    names_match: leaf[4] == self.host && !self.never_matches,
                }),
                old_authorities: bundle.len() - usize::from(signer.is_some()),
                rotation_requested: tls.is_rotation_pending(),
            },
            bundle: text(&bundle),
            signer: signer.map_or_else(Vec::new, |words| text(std::slice::from_ref(words))),
        }
    }

    fn add_authority(
        &self,
        tls: &WebhookTls,
        validity: Validity,
    ) -> Result<WebhookTls, IssueError> {
        let name = self.name('A');
        let (from, until) = (validity.not_before.as_secs(), validity.not_after.as_secs());
        let older = text(&lines(&tls.bundle));
        Ok(WebhookTls {
            bundle: [format!("{name} {from} {until}\n").into_bytes(), older].concat(),
            authority_key: name.into_bytes(),
            rotation_handled: tls.rotation_requested.clone(),
            ..tls.clone()
        })
    }

    fn issue_leaf(&self, tls: &WebhookTls, validity: Validity) -> Result<WebhookTls, IssueError> {
        let name = self.name('L');
        let signer = String::from_utf8_lossy(&tls.authority_key);
        let (from, until) = (validity.not_before.as_secs(), validity.not_after.as_secs());
        Ok(WebhookTls {
            leaf: format!("{name} {signer} {from} {until} {}", self.host).into_bytes(),
            leaf_key: name.into_bytes(),
            ..tls.clone()
        })
    }
}

impl CaBundles for FakeIssuer {
    fn contains(&self, bundle: &[u8], part: &[u8]) -> bool {
        let (bundle, part) = (lines(bundle), lines(part));
        !part.is_empty() && part.iter().all(|words| bundle.contains(words))
    }

    fn intersects(&self, one: &[u8], other: &[u8]) -> bool {
        let other = lines(other);
        lines(one).iter().any(|words| other.contains(words))
    }

    fn merge(&self, first: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        let mut joined = lines(first);
        for words in others.iter().flat_map(|other| lines(other)) {
            if !joined.contains(&words) {
                joined.push(words);
            }
        }
        text(&joined)
    }
}
