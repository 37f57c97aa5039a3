//! The use cases: what the receiver does, whatever it is connected to.

pub mod buffer_management;
pub mod drain;
pub mod elect;
#[cfg(test)]
mod fakes;
pub mod forward;
pub mod receive;
mod request_parts;
