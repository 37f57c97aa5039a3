//! Pods as JSON: the facts for the injection decision, and the patch that applies it.
//!
//! A pod is never deserialized into a type and serialized again, which would lose every field that the
//! type does not have. A patch consists of `add` operations only. An `add` on an existing member
//! replaces it; this happens to tracebuffer's own annotations and label only. Null counts as absent, as
//! it does for the API server.

mod admission;
mod container;
mod environment;
mod facts;
mod patch_builder;
mod pod_json;
mod position;
mod resources;
pub(super) mod sidecar_failure;
pub mod status;
#[cfg(test)]
mod testing;
mod warnings;

pub use admission::{Admission, InjectionOutcome, apply_decision};
pub use facts::{InvalidPod, pod_facts};

use super::sidecar::Sidecar;
use crate::domain::operator::injection::consent::CredentialUse;
use crate::domain::operator::injection::trace_buffer_view::{
    SidecarMode, SidecarPorts, SidecarTemplate,
};

impl SidecarTemplate for Sidecar {
    fn mode(&self) -> SidecarMode {
        self.mode
    }

    fn ports(&self) -> SidecarPorts {
        self.ports
    }

    fn volume_names(&self) -> impl Iterator<Item = &str> {
        self.volumes.iter().map(|volume| volume.name.as_str())
    }

    fn credential_use(&self) -> CredentialUse {
        self.credentials
    }
}
