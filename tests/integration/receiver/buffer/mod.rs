//! The buffer, beside a model and under threads.

mod against_model;
mod model;
mod threads;
