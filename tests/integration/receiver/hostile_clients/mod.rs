//! Clients that are broken or mean harm: the others are served on, and nothing is left behind.

mod connections;
mod frames;
mod load;
mod messages;
