//! Pods as JSON: what the decision needs to know of one, and the patch that carries it out.
//!
//! A pod is never read into a type and written back, which would lose every field that the type does
//! not know. A patch consists of `add` operations only. One on a member that exists would replace it;
//! that happens to tracebuffer's own annotations and label, and to nothing else. Null counts as
//! absent, as it does for the API server.

mod admission;
mod container;
mod edit;
mod environment;
mod facts;
mod place;
mod read;
mod resources;
pub mod status;
#[cfg(test)]
mod testing;
mod warnings;

pub use admission::{Admission, Outcome, admission};
pub use facts::{NotAPod, facts};

use super::sidecar::Sidecar;
use crate::domain::injection::candidate::{Shape, SidecarMode, SidecarPorts};
use crate::domain::injection::consent::CredentialUse;

impl Shape for Sidecar {
    fn mode(&self) -> SidecarMode {
        self.mode
    }

    fn ports(&self) -> SidecarPorts {
        self.ports
    }

    fn volumes(&self) -> impl Iterator<Item = &str> {
        self.volumes.iter().map(|volume| volume.name.as_str())
    }

    fn credentials(&self) -> CredentialUse {
        self.credentials
    }
}
