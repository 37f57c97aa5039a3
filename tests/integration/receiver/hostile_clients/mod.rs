//! Clients that are broken or malicious: the others are still served, and no resource leaks.

mod connections;
mod frames;
mod load;
mod messages;
