//! Pods as JSON: what the decision needs to know of one, and the patch that carries it out.
//!
//! A pod is never read into a type and written back, which would lose every field that the type does
//! not know. A patch consists of `add` operations only. One on a member that exists would replace it;
//! that happens to tracebuffer's own annotations and label, and to nothing else. Null counts as
//! absent, as it does for the API server.

mod admission;
mod container;
mod environment;
mod facts;
mod patch_builder;
mod pod_json;
mod position;
mod resources;
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
