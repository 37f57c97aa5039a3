//! What the process says about itself.

pub mod admin_server;
mod exposition;
pub mod logging;
pub mod operator;
mod process;
pub mod receiver;
mod same_machine;
