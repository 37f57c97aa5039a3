//! Joining the parts: what is built, in which order it starts, and how it ends.

pub mod controller;
mod process;
pub mod receiver;
