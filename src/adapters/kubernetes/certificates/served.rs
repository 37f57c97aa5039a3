//! The certificate that is served, swapped under the running server.
//!
//! Another one is served only when API servers trust it, as long as they trust the last: whoever
//! renews a certificate may tell its authority to the one before the other, or after.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::Instant;

use super::x509;

/// How long API servers have known a certificate's authority before it is served: they read the
/// webhook's configuration from caches of their own.
pub(super) const TRUST_DELAY: Duration = Duration::from_secs(10);

/// The certificate that is served, and whether API servers are told to trust it.
#[derive(Debug, Default)]
pub struct ServedCertificate {
    key: ArcSwapOption<CertifiedKey>,
    trust: Mutex<TrustState>,
}

#[derive(Debug, Default)]
struct TrustState {
    /// The bundle of each entry of the webhook's configuration.
    published: Vec<Vec<CertificateDer<'static>>>,
    is_trusted: bool,
    /// What is served next.
    pending: Option<PendingCertificate>,
}

#[derive(Debug)]
struct PendingCertificate {
    key: Arc<CertifiedKey>,
    trusted_since: Option<Instant>,
}

/// What became of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfferOutcome {
    /// It is served from the next handshake on.
    Served,
    /// It waits to be trusted.
    Pending,
    /// It was known before.
    Unchanged,
}

/// Why a certificate cannot be served. Quotes nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnusableCertificate(String);

impl ServedCertificate {
    /// Returns whether every entry of the webhook's configuration holds the authority of the
    /// certificate that is served; its validity is not looked at.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trust.lock().is_trusted
    }

    /// Returns until when the certificate that is served is valid, since the Unix epoch.
    #[must_use]
    pub fn valid_until(&self) -> Option<Duration> {
        let served = self.key.load();
        let leaf = served.as_ref()?.cert.first()?;
        Some(x509::validity(leaf)?.not_after)
    }

    /// Serves another certificate, or lets it wait for [`Self::serve_if_due`].
    pub(super) fn offer(
        &self,
        chain: &[u8],
        key: &[u8],
    ) -> Result<OfferOutcome, UnusableCertificate> {
        let key = Arc::new(certified_key(chain, key)?);
        let mut standing = self.trust.lock();
        if self.key.load().as_ref().is_some_and(|served| served.cert == key.cert) {
            standing.pending = None;
            return Ok(OfferOutcome::Unchanged);
        }
        if standing.pending.as_ref().is_some_and(|next| next.key.cert == key.cert) {
            return Ok(OfferOutcome::Unchanged);
        }
        standing.pending = Some(PendingCertificate { key, trusted_since: None });
        Ok(if self.try_promote(&mut standing) {
            OfferOutcome::Served
        } else {
            OfferOutcome::Pending
        })
    }

    /// Takes note of what is published now, the bundle of each entry as PEM. Returns whether another
    /// certificate is served.
    pub(super) fn set_published(
        &self,
        bundles: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> bool {
        let mut standing = self.trust.lock();
        standing.published =
            bundles.into_iter().map(|bundle| x509::authorities(bundle.as_ref())).collect();
        self.update_trust(&mut standing);
        self.try_promote(&mut standing)
    }

    /// Serves the certificate that waits, if it is time. Returns whether another is served.
    pub(super) fn serve_if_due(&self) -> bool {
        self.try_promote(&mut self.trust.lock())
    }

    fn try_promote(&self, standing: &mut TrustState) -> bool {
        let Some(mut next) = standing.pending.take() else { return false };
        let since = standing.trusts(&next.key).then(|| {
            // The first time counts.
            next.trusted_since.unwrap_or_else(Instant::now)
        });
        next.trusted_since = since;
        let is_due = since.is_some_and(|since| since.elapsed() >= TRUST_DELAY);
        if standing.is_trusted && !is_due {
            standing.pending = Some(next);
            return false;
        }
        self.key.store(Some(next.key));
        self.update_trust(standing);
        true
    }

    fn update_trust(&self, standing: &mut TrustState) {
        standing.is_trusted = self.key.load().as_ref().is_some_and(|key| standing.trusts(key));
    }
}

impl TrustState {
    fn trusts(&self, key: &CertifiedKey) -> bool {
        let mut bundles = self.published.iter();
        !self.published.is_empty() && bundles.all(|bundle| x509::is_trusted(&key.cert, bundle))
    }
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key.load_full()
    }
}

/// Reads a chain of certificates and the key of the first, as PEM.
pub(super) fn certified_key(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, UnusableCertificate> {
    let unusable = |why: &str| UnusableCertificate(why.to_owned());
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| unusable("tls.crt is not valid PEM"))?;
    if chain.is_empty() {
        return Err(unusable("tls.crt holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| unusable("tls.key holds no private key as PEM"))?;
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| {
        UnusableCertificate(format!("tls.crt and tls.key cannot be used: {error}"))
    })
}

impl fmt::Display for UnusableCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
