//! The use cases of receiver and operator, independent of protocols and of Kubernetes.

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
