//! Client-side TLS, configured anew for every connection from the files as they are then.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::config::DestinationSettings;
use super::failure::{Step, unavailable};
use super::files::{Stamp, read, stamp, unusable};
use crate::domain::delivery::Failure;

const CA: &str = "the CA file";
const CERTIFICATE: &str = "the client certificate file";
const KEY: &str = "the client key file";

/// Which certificates to trust and to show.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    ca: Option<PathBuf>,
    client: Option<ClientFiles>,
}

#[derive(Clone, Debug)]
struct ClientFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// The versions of all files of a [`TlsFiles`].
pub(super) type TlsStamp = [Stamp; 3];

impl TlsFiles {
    pub(super) fn new(settings: &DestinationSettings) -> Self {
        let client = settings.client_certificate_file.clone().zip(settings.client_key_file.clone());
        Self {
            ca: settings.ca_file.clone(),
            client: client.map(|(certificate, key)| ClientFiles { certificate, key }),
        }
    }

    /// Returns which versions of the files a connection made now would use.
    pub(super) fn stamp(&self) -> TlsStamp {
        let of = |path: Option<&PathBuf>| path.and_then(|path| stamp(path));
        let client = self.client.as_ref();
        [
            of(self.ca.as_ref()),
            of(client.map(|files| &files.certificate)),
            of(client.map(|files| &files.key)),
        ]
    }

    /// Reads the files.
    pub(super) fn client_config(&self, protocols: &[&[u8]]) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unavailable(Step::Tls, format!("TLS cannot start: {error}")))?
            .with_root_certificates(self.roots()?);
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let (chain, key) = files.read()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| unusable(KEY, &files.key, &error.to_string()))?
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // The configuration lives for one connection; nothing could be resumed from it.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, Failure> {
        let Some(path) = &self.ca else {
            return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
        };
        let mut store = RootCertStore::empty();
        for certificate in certificates(CA, path)? {
            store.add(certificate).map_err(|error| unusable(CA, path, &error.to_string()))?;
        }
        Ok(store)
    }
}

impl ClientFiles {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
        let chain = certificates(CERTIFICATE, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(KEY, &self.key)?).map_err(|error| {
            unusable(KEY, &self.key, pem_reason(&error, "it holds no PEM private key"))
        })?;
        Ok((chain, key))
    }
}

fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    const NONE: &str = "it holds no PEM certificate";
    let pem = read(what, path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(what, path, pem_reason(&error, NONE)))?;
    if certificates.is_empty() {
        return Err(unusable(what, path, NONE));
    }
    Ok(certificates)
}

/// Says what is wrong without what the PEM reader's own message may quote from the file.
const fn pem_reason(error: &PemError, nothing_found: &'static str) -> &'static str {
    match error {
        PemError::NoItemsFound => nothing_found,
        PemError::Base64Decode(_) => "a PEM section is not valid base64",
        PemError::MissingSectionEnd { .. } => "a PEM section has no end",
        PemError::IllegalSectionStart { .. } => "a PEM section begins with a broken line",
        _ => "it is not valid PEM",
    }
}
