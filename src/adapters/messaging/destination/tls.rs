//! Client-side TLS, configured for every connection from the current files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use rustls::client::{Resumption, WantsClientCert};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use tracing::warn;

use super::certificate::Validity;
use super::config::{CaFile, DestinationSettings};
use super::failure::{SendStage, unavailable};
use super::files::{FileVersion, file_failure, file_version, read_file};
use super::pem::{CertificateSection, certificates, pem_reason};
use super::server_verifier::ServerVerifier;
use super::tls_remedy::TlsContext;
use crate::domain::delivery::Failure;

const CA: &str = "the CA file";
const CERTIFICATE: &str = "the client certificate file";
const KEY: &str = "the client key file";
const NO_CERTIFICATE: &str = "it holds no PEM certificate";

/// The files with the certificates to trust and to present.
#[derive(Debug)]
pub(super) struct TlsFiles {
    ca: Option<CaFile>,
    client: Option<ClientFiles>,
    last_read: Mutex<LastRead>,
}

#[derive(Clone, Debug)]
struct ClientFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// What is remembered of the files that were read last.
#[derive(Debug, Default)]
struct LastRead {
    client_validity: Option<Validity>,
    /// The problems that were logged, each once until it changes.
    warnings: [String; 2],
}

/// The files whose problems are logged.
#[derive(Clone, Copy)]
enum Warned {
    Ca,
    Client,
}

/// The authorities of the files, and the certificates that are trusted themselves.
#[derive(Debug)]
struct Trust {
    roots: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

/// The versions of all files of a [`TlsFiles`].
pub(super) type TlsFileVersions = [FileVersion; 3];

impl TlsFiles {
    pub(super) fn new(settings: &DestinationSettings) -> Self {
        let client = settings.client_certificate_file.clone().zip(settings.client_key_file.clone());
        Self {
            ca: settings.ca_file.clone(),
            client: client.map(|(certificate, key)| ClientFiles { certificate, key }),
            last_read: Mutex::default(),
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
        let builder = builder(self.trust()?)?;
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let (chain, key) = files.read()?;
                self.remember_client(chain.first());
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

    /// Reads the files for a connection to a proxy, which the same authorities are trusted for.
    pub(super) fn proxy_config(&self) -> Result<ClientConfig, Failure> {
        Ok(builder(self.trust()?)?.with_no_client_auth())
    }

    /// Returns what remedies of failed handshakes depend on.
    pub(super) const fn context(&self) -> TlsContext {
        TlsContext { has_ca_file: self.ca.is_some(), has_client_certificate: self.client.is_some() }
    }

    /// Says that the client certificate that was read last is not valid now, if so.
    pub(super) fn client_problem(&self) -> Option<String> {
        let validity = self.last_read.lock().client_validity?;
        let problem = validity.problem_at(Timestamp::now().as_second())?;
        let path = self.client.as_ref()?.certificate.display();
        Some(format!("the client certificate {path} {problem}"))
    }

    fn trust(&self) -> Result<Trust, Failure> {
        let with_built_in = self.ca.as_ref().is_none_or(|ca| ca.with_system_roots);
        let mut roots = if with_built_in { built_in_roots() } else { RootCertStore::empty() };
        let Some(path) = self.ca.as_deref() else {
            return Ok(Trust { roots, certificates: Vec::new() });
        };
        let mut found = certificates(&read_file(CA, path)?);
        for section in &mut found {
            if let Ok(certificate) = section
                && roots.add(certificate.clone()).is_err()
            {
                *section = Err("it is not a valid X.509 certificate");
            }
        }
        let skipped = skipped(&found);
        let certificates: Vec<_> = found.into_iter().filter_map(Result::ok).collect();
        if certificates.is_empty() {
            let reason = skipped.map_or_else(
                || NO_CERTIFICATE.to_owned(),
                |skipped| format!("it holds no readable certificate: {skipped}"),
            );
            return Err(file_failure(CA, path, &reason));
        }
        let skipped =
            skipped.map(|skipped| format!("{CA} {} is used without {skipped}", path.display()));
        self.warn_once(Warned::Ca, skipped);
        Ok(Trust { roots, certificates })
    }

    fn remember_client(&self, certificate: Option<&CertificateDer<'_>>) {
        self.last_read.lock().client_validity = certificate.and_then(Validity::of);
        self.warn_once(Warned::Client, self.client_problem());
    }

    /// Logs a problem, unless it was the last one of these files.
    fn warn_once(&self, files: Warned, problem: Option<String>) {
        let problem = problem.unwrap_or_default();
        let mut last_read = self.last_read.lock();
        let [ca, client] = &mut last_read.warnings;
        let last = match files {
            Warned::Ca => ca,
            Warned::Client => client,
        };
        if *last != problem {
            if !problem.is_empty() {
                warn!("{problem}");
            }
            *last = problem;
        }
    }
}

fn built_in_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

fn builder(trust: Trust) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Failure> {
    let failure = |why: &str| unavailable(SendStage::Tls, format!("cannot set up TLS: {why}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let Trust { roots, certificates } = trust;
    let verifier = ServerVerifier::new(roots, certificates, Arc::clone(&provider))
        .map_err(|error| failure(&error.to_string()))?;
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failure(&error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

impl ClientFiles {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
        let failure = |why: &str| file_failure(CERTIFICATE, &self.certificate, why);
        let found = certificates(&read_file(CERTIFICATE, &self.certificate)?);
        if let Some(unreadable) = skipped(&found) {
            return Err(failure(&format!("the chain is incomplete without {unreadable}")));
        }
        let chain: Vec<_> = found.into_iter().filter_map(Result::ok).collect();
        if chain.is_empty() {
            return Err(failure(NO_CERTIFICATE));
        }
        let key = PrivateKeyDer::from_pem_slice(&read_file(KEY, &self.key)?).map_err(|error| {
            file_failure(KEY, &self.key, pem_reason(&error, "it holds no PEM private key"))
        })?;
        Ok((chain, key))
    }
}

/// Names the unreadable certificates of a file, counted from 1, and why the first is unreadable.
fn skipped(sections: &[CertificateSection]) -> Option<String> {
    const MAX_NAMED: usize = 5;
    let unreadable = |(index, section): (usize, &CertificateSection)| {
        section.as_ref().err().map(|why| (index + 1, *why))
    };
    let found: Vec<_> = sections.iter().enumerate().filter_map(unreadable).collect();
    let (_, why) = found.first()?;
    let mut numbers: Vec<_> =
        found.iter().take(MAX_NAMED).map(|(number, _)| number.to_string()).collect();
    if found.len() > MAX_NAMED {
        numbers.push("…".to_owned());
    }
    let (noun, of) =
        (if found.len() == 1 { "certificate" } else { "certificates" }, sections.len());
    Some(format!("{noun} {} of {of}: {why}", numbers.join(", ")))
}

#[cfg(test)]
mod tests;
