//! What the operator offers and what it needs.

pub mod admission;
pub mod catalog;
pub mod certificates;
pub mod cluster;
pub mod lease;
pub mod pods;
pub mod reconcile;
