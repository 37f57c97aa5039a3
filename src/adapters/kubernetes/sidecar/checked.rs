//! What a spec says, as numbers that are known to be sound.

use super::SidecarLimits;
use crate::adapters::kubernetes::resource::KeyReference;
use crate::adapters::messaging::notation::endpoint::Endpoint;
use crate::domain::injection::candidate::SidecarPorts;

/// The parts of a spec that had to be read; the others are taken as they are.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) limits: SidecarLimits,
    pub(super) ports: SidecarPorts,
    pub(super) destination: CheckedDestination,
    pub(super) max_request_bytes: Option<u64>,
    pub(super) user: User,
    pub(super) drain_ms: u64,
}

#[derive(Clone, Debug)]
pub(super) struct CheckedDestination {
    pub(super) endpoint: Endpoint,
    /// Names in lower case, and values.
    pub(super) values: Vec<(String, String)>,
    pub(super) secrets: Vec<SecretHeader>,
    pub(super) timeout_ms: u64,
    pub(super) batch_spans: u64,
    pub(super) batch_bytes: u64,
    pub(super) linger_ms: u64,
    pub(super) concurrency: u64,
}

/// A header whose value is in a Secret.
#[derive(Clone, Debug)]
pub(super) struct SecretHeader {
    /// In lower case.
    pub(super) name: String,
    pub(super) reference: KeyReference,
}

/// What the sidecar runs as.
#[derive(Clone, Copy, Debug)]
pub(super) enum User {
    Id(i64),
    FromPlatform,
}
