//! What a spec says, as values that are known to be valid.

use super::SidecarLimits;
use crate::adapters::kubernetes::resource::KeyReference;
use crate::adapters::messaging::notation::endpoint::Endpoint;
use crate::domain::injection::candidate::SidecarPorts;
use crate::domain::injection::consent::AllowedNamespaces;

/// The parts of a spec that had to be read; the others are taken as they are.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) limits: SidecarLimits,
    pub(super) ports: SidecarPorts,
    pub(super) destination: CheckedDestination,
    pub(super) max_request_bytes: Option<u64>,
    pub(super) user: User,
    pub(super) allowed_namespaces: AllowedNamespaces,
    pub(super) drain_ms: u64,
}

#[derive(Clone, Debug)]
pub(super) struct CheckedDestination {
    pub(super) endpoint: Endpoint,
    pub(super) headers: Vec<Header>,
    pub(super) timeout_ms: u64,
    pub(super) batch_spans: u64,
    pub(super) batch_bytes: u64,
    pub(super) linger_ms: u64,
    pub(super) concurrency: u64,
}

/// A header, and where its value comes from.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// In lower case.
    pub(super) name: String,
    /// What its value begins with; empty for a literal.
    pub(super) prefix: String,
    pub(super) source: Source,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    Literal(String),
    /// A field of the pod that is known as a variable only.
    Variable(&'static str),
    /// Something the kubelet puts into a file.
    File {
        file: File,
        is_optional: bool,
    },
}

/// What the kubelet puts into a file.
#[derive(Clone, Debug)]
pub(super) enum File {
    Secret(KeyReference),
    ConfigMap(KeyReference),
    /// A label or an annotation of the pod, by its path.
    Field(String),
    Token {
        audience: String,
        expiration_seconds: i64,
    },
}

/// What the sidecar runs as; what is unset comes from the pod or the platform.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) user: Option<i64>,
    pub(super) group: Option<i64>,
}

impl CheckedDestination {
    /// Returns the headers whose values are in files, and those files.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Header, &File, bool)> {
        self.headers.iter().filter_map(|header| match &header.source {
            Source::File { file, is_optional } => Some((header, file, *is_optional)),
            _ => None,
        })
    }
}
