//! The operator's use cases.

pub mod admit_pod;
mod certificate_loop;
pub mod elect;
pub mod publish_authorities;
pub mod reconcile;
pub mod rotate_certificates;
