//! The use cases: what the receiver does, whatever it is connected to.

pub mod admit_pod;
pub mod buffer_management;
mod certificate_duty;
pub mod drain;
pub mod elect;
#[cfg(test)]
mod fakes;
pub mod forward;
pub mod keep_certificates;
pub mod publish_authorities;
pub mod receive;
pub mod reconcile;
mod request_parts;
