//! The values of a valid spec.

use crate::adapters::kubernetes::resource::KeyReference;
use crate::adapters::messaging::notation::endpoint::Endpoint;
use crate::domain::limits::BufferLimits;
use crate::domain::operator::injection::consent::AllowedNamespaces;
use crate::domain::operator::injection::trace_buffer_view::SidecarPorts;

/// The parsed parts of a spec; the others are used verbatim.
#[derive(Clone, Debug)]
pub(super) struct ValidatedSpec {
    pub(super) limits: BufferLimits,
    pub(super) ports: SidecarPorts,
    pub(super) destination: ValidatedDestination,
    pub(super) max_request_bytes: Option<u64>,
    pub(super) max_head_bytes: Option<u64>,
    pub(super) user: RunAs,
    pub(super) allowed_namespaces: AllowedNamespaces,
    pub(super) drain_timeout_ms: u64,
}

#[derive(Clone, Debug)]
pub(super) struct ValidatedDestination {
    pub(super) endpoint: Endpoint,
    pub(super) headers: Vec<ValidatedHeader>,
    pub(super) timeout_ms: u64,
    pub(super) connection_max_age_ms: Option<u64>,
    pub(super) batch_max_spans: u64,
    pub(super) batch_max_bytes: u64,
    pub(super) linger_ms: u64,
    pub(super) concurrency: u64,
}

/// A header and the source of its value.
#[derive(Clone, Debug)]
pub(super) struct ValidatedHeader {
    /// In lower case.
    pub(super) name: String,
    /// Prefix of the value; empty for a literal.
    pub(super) prefix: String,
    pub(super) source: HeaderValueSource,
}

#[derive(Clone, Debug)]
pub(super) enum HeaderValueSource {
    Literal(String),
    /// A field of the pod that is available as an environment variable only.
    FieldVariable(&'static str),
    /// A file that the kubelet writes.
    File {
        file: ProjectedFile,
        is_optional: bool,
    },
}

/// The source of a file that the kubelet writes.
#[derive(Clone, Debug)]
pub(super) enum ProjectedFile {
    Secret(KeyReference),
    ConfigMap(KeyReference),
    /// A label or an annotation of the pod, by its path.
    DownwardApiField(String),
    ServiceAccountToken {
        audience: String,
        expiration_seconds: i64,
    },
}

/// User and group of the sidecar; unset values come from the pod or the platform.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunAs {
    pub(super) user: Option<i64>,
    pub(super) group: Option<i64>,
}

impl ValidatedDestination {
    /// Returns the headers whose values are in files, with the file and whether it is optional.
    pub(super) fn projected_files(
        &self,
    ) -> impl Iterator<Item = (&ValidatedHeader, &ProjectedFile, bool)> {
        self.headers.iter().filter_map(|header| match &header.source {
            HeaderValueSource::File { file, is_optional } => Some((header, file, *is_optional)),
            _ => None,
        })
    }
}
