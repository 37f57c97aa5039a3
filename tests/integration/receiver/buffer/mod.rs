//! The buffer, compared with a model and under threads.

mod against_model;
mod model;
mod threads;
