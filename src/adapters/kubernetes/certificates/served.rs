//! The served certificate, replaced while the server runs.
//!
//! As long as API servers trust the current certificate, a new one is served only once they trust it,
//! too: a renewed certificate may be stored before its authority is published, or after.

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

/// How long a certificate's authority is published before the certificate is served: API servers read
/// the webhook's configuration from a cache.
pub(super) const TRUST_DELAY: Duration = Duration::from_secs(10);

/// The served certificate, and whether API servers trust it.
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
    /// The certificate to serve next.
    pending: Option<PendingCertificate>,
}

#[derive(Debug)]
struct PendingCertificate {
    key: Arc<CertifiedKey>,
    trusted_since: Option<Instant>,
}

/// The outcome of offering a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfferOutcome {
    /// It is served from the next handshake on.
    Served,
    /// It is served once API servers trust it.
    Pending,
    /// It was offered before.
    Unchanged,
}

/// Why a certificate cannot be served. Contains nothing of the certificate or its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnusableCertificate(String);

impl ServedCertificate {
    /// Returns whether every entry of the webhook's configuration has the authority of the served
    /// certificate, whether or not the certificate is valid now.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trust.lock().is_trusted
    }

    /// Returns until when the served certificate is valid, since the Unix epoch.
    #[must_use]
    pub fn valid_until(&self) -> Option<Duration> {
        let served = self.key.load();
        let leaf = served.as_ref()?.cert.first()?;
        Some(x509::validity(leaf)?.not_after)
    }

    /// Returns why API servers refuse the served certificate at `now`, since the Unix epoch; `None` if they
    /// accept it. They reach the webhook as `host`; `None` if that is not known.
    #[must_use]
    pub fn problem(&self, host: Option<&str>, now: Duration) -> Option<String> {
        let served = self.key.load();
        let Some(leaf) = served.as_ref().and_then(|served| served.cert.first()) else {
            return Some("no certificate is served".to_owned());
        };
        if !self.is_trusted() {
            Some("the caBundle lacks the authority of the served certificate".to_owned())
        } else if x509::validity(leaf).is_none_or(|validity| validity.not_after < now) {
            Some("the served certificate has expired".to_owned())
        } else {
            let refused = host.filter(|host| !x509::holds_name(leaf, host))?;
            Some(format!("the served certificate is not for {refused}"))
        }
    }

    /// Serves another certificate, or keeps it for [`Self::serve_if_due`].
    pub(super) fn offer(
        &self,
        chain: &[u8],
        key: &[u8],
    ) -> Result<OfferOutcome, UnusableCertificate> {
        let key = Arc::new(certified_key(chain, key)?);
        let mut state = self.trust.lock();
        if self.key.load().as_ref().is_some_and(|served| served.cert == key.cert) {
            state.pending = None;
            return Ok(OfferOutcome::Unchanged);
        }
        if state.pending.as_ref().is_some_and(|next| next.key.cert == key.cert) {
            return Ok(OfferOutcome::Unchanged);
        }
        state.pending = Some(PendingCertificate { key, trusted_since: None });
        Ok(if self.try_promote(&mut state) { OfferOutcome::Served } else { OfferOutcome::Pending })
    }

    /// Sets the published bundles, one of each entry, as PEM. Returns whether another certificate is
    /// served now.
    pub(super) fn set_published(
        &self,
        bundles: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> bool {
        let mut state = self.trust.lock();
        state.published =
            bundles.into_iter().map(|bundle| x509::authorities(bundle.as_ref())).collect();
        self.update_trust(&mut state);
        self.try_promote(&mut state)
    }

    /// Serves the pending certificate if it is due. Returns whether it is served now.
    pub(super) fn serve_if_due(&self) -> bool {
        self.try_promote(&mut self.trust.lock())
    }

    fn try_promote(&self, state: &mut TrustState) -> bool {
        let Some(mut next) = state.pending.take() else { return false };
        let since = state.trusts(&next.key).then(|| {
            // The delay runs from the first observation.
            next.trusted_since.unwrap_or_else(Instant::now)
        });
        next.trusted_since = since;
        let is_due = since.is_some_and(|since| since.elapsed() >= TRUST_DELAY);
        if state.is_trusted && !is_due {
            state.pending = Some(next);
            return false;
        }
        self.key.store(Some(next.key));
        self.update_trust(state);
        true
    }

    fn update_trust(&self, state: &mut TrustState) {
        state.is_trusted = self.key.load().as_ref().is_some_and(|key| state.trusts(key));
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
    let unusable = |reason: &str| UnusableCertificate(reason.to_owned());
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
