//! Client-side TLS, configured for every connection from the current files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::config::{CaFile, DestinationSettings};
use super::failure::{SendStage, unavailable};
use super::files::{FileVersion, file_failure, file_version, read_file};
use crate::domain::delivery::Failure;

const CA: &str = "the CA file";
const CERTIFICATE: &str = "the client certificate file";
const KEY: &str = "the client key file";

/// The files with the certificates to trust and to present.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    ca: Option<CaFile>,
    client: Option<ClientFiles>,
}

#[derive(Clone, Debug)]
struct ClientFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// The versions of all files of a [`TlsFiles`].
pub(super) type TlsFileVersions = [FileVersion; 3];

impl TlsFiles {
    pub(super) fn new(settings: &DestinationSettings) -> Self {
        let client = settings.client_certificate_file.clone().zip(settings.client_key_file.clone());
        Self {
            ca: settings.ca_file.clone(),
            client: client.map(|(certificate, key)| ClientFiles { certificate, key }),
        }
    }

    /// Returns the paths of the files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let client = self.client.iter().flat_map(|files| [&files.certificate, &files.key]);
        self.ca.as_deref().into_iter().chain(client.map(PathBuf::as_path))
    }

    /// Returns the versions of the files that a new connection would use.
    pub(super) fn versions(&self) -> TlsFileVersions {
        let of = |path: Option<&Path>| path.and_then(file_version);
        let client = self.client.as_ref();
        [
            of(self.ca.as_deref()),
            of(client.map(|files| files.certificate.as_path())),
            of(client.map(|files| files.key.as_path())),
        ]
    }

    /// Reads the files.
    pub(super) fn client_config(&self, protocols: &[&[u8]]) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unavailable(SendStage::Tls, format!("cannot set up TLS: {error}")))?
            .with_root_certificates(self.roots()?);
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let (chain, key) = files.read()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| file_failure(KEY, &files.key, &error.to_string()))?
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // The configuration is used for one connection only, so no session can be resumed.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, Failure> {
        let mut store = RootCertStore::empty();
        if self.ca.as_ref().is_none_or(|ca| ca.with_system_roots) {
            store.roots.extend_from_slice(webpki_roots::TLS_SERVER_ROOTS);
        }
        if let Some(path) = self.ca.as_deref() {
            for certificate in certificates(CA, path)? {
                store
                    .add(certificate)
                    .map_err(|error| file_failure(CA, path, &error.to_string()))?;
            }
        }
        Ok(store)
    }
}

impl ClientFiles {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
        let chain = certificates(CERTIFICATE, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read_file(KEY, &self.key)?).map_err(|error| {
            file_failure(KEY, &self.key, pem_reason(&error, "it holds no PEM private key"))
        })?;
        Ok((chain, key))
    }
}

fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    const NONE: &str = "it holds no PEM certificate";
    let pem = read_file(what, path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| file_failure(what, path, pem_reason(&error, NONE)))?;
    if certificates.is_empty() {
        return Err(file_failure(what, path, NONE));
    }
    Ok(certificates)
}

/// Describes the error without the PEM reader's own message, which may quote the file.
const fn pem_reason(error: &PemError, nothing_found: &'static str) -> &'static str {
    match error {
        PemError::NoItemsFound => nothing_found,
        PemError::Base64Decode(_) => "a PEM section is not valid base64",
        PemError::MissingSectionEnd { .. } => "a PEM section has no end",
        PemError::IllegalSectionStart { .. } => "the first line of a PEM section is malformed",
        _ => "it is not valid PEM",
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn roots(with_system_roots: Option<bool>) -> usize {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        std::fs::write(&path, certificate.pem()).unwrap();
        let ca = with_system_roots.map(|with_system_roots| CaFile { path, with_system_roots });

        TlsFiles { ca, client: None }.roots().unwrap().len()
    }

    #[test]
    fn the_built_in_roots_are_trusted_unless_a_file_replaces_them() {
        let built_in = webpki_roots::TLS_SERVER_ROOTS.len();

        assert_eq!(roots(None), built_in);
        assert_eq!(roots(Some(true)), built_in + 1);
        assert_eq!(roots(Some(false)), 1);
    }

    #[test]
    fn a_missing_file_is_a_failure_even_with_the_built_in_roots() {
        let ca = Some(CaFile { path: "/nonexistent/ca.pem".into(), with_system_roots: true });

        let failure = TlsFiles { ca, client: None }.roots().unwrap_err();

        assert!(failure.message.contains("the CA file /nonexistent/ca.pem: No such file"));
    }
}
