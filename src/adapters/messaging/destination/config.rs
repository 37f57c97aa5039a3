//! What a destination is told at start; read once, never changed.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use rustls::pki_types::ServerName;

pub use crate::adapters::messaging::notation::endpoint::{Endpoint, Protocol};
use crate::adapters::messaging::notation::headers::{HeaderFiles, Headers};

/// Where batches go, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSettings {
    /// The server.
    pub endpoint: Endpoint,
    /// The transport spoken to it.
    pub protocol: Protocol,
    /// How requests are compressed.
    pub compression: Compression,
    /// Headers added to every request.
    pub headers: Headers,
    /// A file of more headers, in the form of
    /// [`parse_header_lines`](crate::adapters::messaging::notation::headers::parse_header_lines); read, and read again, at run
    /// time.
    pub headers_file: Option<PathBuf>,
    /// Headers whose values are in files of their own; read, and read again, at run time.
    pub header_files: HeaderFiles,
    /// Authorities to trust instead of the built-in roots, or beside them.
    pub ca_file: Option<CaFile>,
    /// The name that the server's certificate must bear, where that is not the endpoint's host.
    pub server_name: Option<ServerName<'static>>,
    /// PEM certificate chain shown to the server. Set together with the key, or not at all.
    pub client_certificate_file: Option<PathBuf>,
    /// PEM private key of that certificate.
    pub client_key_file: Option<PathBuf>,
    /// Longest wait for one answer, connecting included.
    pub timeout: Duration,
}

/// The path of PEM certificates of authorities that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the built-in roots are trusted too. Without a file they always are: trusting nobody
    /// cannot be said.
    pub with_system_roots: bool,
}

/// Compression of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Sent as they are.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Deref for CaFile {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}
