//! The use cases: what the receiver does, whatever it is connected to.

mod batch_request;
pub mod buffer_management;
pub mod drain;
#[cfg(test)]
mod fakes;
pub mod forward;
pub mod operator;
pub mod receive;
#[cfg(test)]
mod testing;
