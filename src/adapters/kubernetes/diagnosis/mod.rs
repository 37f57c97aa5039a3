//! Looking over an installation, and over the fate of a pod.
//!
//! What is read from the cluster ([`CheckInput`], [`ExplainInput`]) is judged by pure functions
//! ([`check()`], [`explain()`]) into [`Finding`]s for people and machines.

mod certificate;
mod check;
mod check_input;
mod explain;
mod explain_input;
mod fetched;
mod finding;
mod operator;
#[cfg(test)]
mod testing;

pub use check::check;
pub use check_input::{CheckInput, DiagnosisScope};
pub use explain::explain;
pub use explain_input::ExplainInput;
pub use finding::{Finding, FindingState, worst_state};
