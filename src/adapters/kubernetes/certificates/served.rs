//! The certificate that is served, swapped under the running server.

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

use super::x509;

/// The certificate that is served, and whether API servers are told to trust it.
#[derive(Debug, Default)]
pub struct ServedCertificate {
    key: ArcSwapOption<CertifiedKey>,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    /// The bundle of each entry of the webhook's configuration.
    published: Vec<Vec<CertificateDer<'static>>>,
    is_trusted: bool,
}

/// Why a certificate cannot be served. Quotes nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unusable(String);

impl ServedCertificate {
    /// Returns whether every entry of the webhook's configuration holds the authority of the
    /// certificate that is served; its validity is not looked at.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.standing.lock().is_trusted
    }

    /// Returns until when the certificate that is served is valid, since the Unix epoch.
    #[must_use]
    pub fn valid_until(&self) -> Option<Duration> {
        let served = self.key.load();
        let leaf = served.as_ref()?.cert.first()?;
        Some(x509::validity(leaf)?.not_after)
    }

    /// Serves another certificate from the next handshake on. Returns whether it is another.
    pub(super) fn serve(&self, chain: &[u8], key: &[u8]) -> Result<bool, Unusable> {
        let key = certified_key(chain, key)?;
        let is_new = self.key.load().as_ref().is_none_or(|served| served.cert != key.cert);
        if is_new {
            self.key.store(Some(Arc::new(key)));
            self.judge(&mut self.standing.lock());
        }
        Ok(is_new)
    }

    /// Takes note of what is published now, the bundle of each entry as PEM.
    pub(super) fn published(&self, bundles: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        let mut standing = self.standing.lock();
        standing.published =
            bundles.into_iter().map(|bundle| x509::authorities(bundle.as_ref())).collect();
        self.judge(&mut standing);
    }

    fn judge(&self, standing: &mut Standing) {
        let served = self.key.load();
        let published = &standing.published;
        standing.is_trusted = served.as_ref().is_some_and(|served| {
            !published.is_empty()
                && published.iter().all(|bundle| x509::is_trusted(&served.cert, bundle))
        });
    }
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key.load_full()
    }
}

/// Reads a chain of certificates and the key of the first, as PEM.
pub(super) fn certified_key(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, Unusable> {
    let unusable = |why: &str| Unusable(why.to_owned());
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| unusable("tls.crt is not valid PEM"))?;
    if chain.is_empty() {
        return Err(unusable("tls.crt holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| unusable("tls.key holds no private key as PEM"))?;
    CertifiedKey::from_der(chain, key, &default_provider())
        .map_err(|error| Unusable(format!("tls.crt and tls.key cannot be used: {error}")))
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[path = "served_tests.rs"]
mod tests;
