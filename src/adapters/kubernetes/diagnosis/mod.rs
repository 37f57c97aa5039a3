//! Looking over an installation, and over the fate of a pod.
//!
//! What is read from the cluster ([`Facts`], [`Case`]) is judged by pure functions
//! ([`judge()`], [`explain()`]) into [`Finding`]s for people and machines.

mod case;
mod certificate;
mod explain;
mod facts;
mod finding;
mod judge;
mod operator;
mod seen;
#[cfg(test)]
mod testing;

pub use case::Case;
pub use explain::explain;
pub use facts::{Facts, Place};
pub use finding::{Finding, State, worst};
pub use judge::judge;
