//! The use cases: what the receiver does, whatever it is connected to.

pub mod admit_pod;
mod batch_request;
pub mod buffer_management;
mod certificate_loop;
pub mod drain;
pub mod elect;
#[cfg(test)]
mod fakes;
pub mod forward;
pub mod publish_authorities;
pub mod receive;
pub mod reconcile;
pub mod rotate_certificates;
