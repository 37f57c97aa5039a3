//! The operator's rules.

pub mod ca_publication;
pub mod injection;
pub mod labels;
pub mod lease;
pub mod object_key;
pub mod quantity;
pub mod reconcile;
pub mod rotation;
