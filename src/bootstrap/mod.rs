//! Joining the parts: what is built, in which order it starts, and how it ends.

pub mod controller;
mod limits_file;
mod loss_reporter;
mod pipeline;
mod process;
pub mod receiver;
pub mod settings;
