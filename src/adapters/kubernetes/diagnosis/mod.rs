//! Diagnosis of an installation and of single pods.
//!
//! [`CheckInput`] and [`ExplainInput`] are read from the cluster; the pure functions [`check()`] and
//! [`explain()`] turn them into [`Finding`]s for people and machines.

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
