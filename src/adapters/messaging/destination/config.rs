//! The settings of a destination; fixed once the receiver has started.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use rustls::pki_types::ServerName;

pub use crate::adapters::messaging::notation::endpoint::{Endpoint, Protocol};
use crate::adapters::messaging::notation::headers::{HeaderFiles, Headers};
pub use crate::adapters::messaging::notation::proxy::Proxy;

/// Where batches are sent, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSettings {
    /// The server.
    pub endpoint: Endpoint,
    /// The transport to use.
    pub protocol: Protocol,
    /// How requests are compressed.
    pub compression: Compression,
    /// Headers added to every request.
    pub headers: Headers,
    /// A file with additional headers, in the format of
    /// [`parse_header_lines`](crate::adapters::messaging::notation::headers::parse_header_lines);
    /// read again whenever it changes.
    pub headers_file: Option<PathBuf>,
    /// Headers whose values are in files of their own; read again whenever they change.
    pub header_files: HeaderFiles,
    /// Authorities to trust instead of the built-in roots, or in addition to them.
    pub ca_file: Option<CaFile>,
    /// The name that the server's certificate must be valid for, if not the endpoint's host.
    pub server_name: Option<ServerName<'static>>,
    /// PEM chain of the client certificate. Set together with the key, or not at all.
    pub client_certificate_file: Option<PathBuf>,
    /// PEM private key of that certificate.
    pub client_key_file: Option<PathBuf>,
    /// Maximum time for one request, connecting included.
    pub timeout: Duration,
    /// Age at which a connection is replaced, up to a fifth earlier or later; `None` keeps it.
    pub connection_max_age: Option<Duration>,
    /// The HTTP proxy through which the server is reached.
    pub proxy: Option<Proxy>,
}

/// A file with the PEM certificates of trusted authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaFile {
    /// The path of the file.
    pub path: PathBuf,
    /// Whether the built-in roots are trusted too. Without a CA file they always are: there is no
    /// setting that trusts no authority.
    pub with_system_roots: bool,
}

/// Compression of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
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
