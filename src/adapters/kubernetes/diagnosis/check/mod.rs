//! What is right and wrong with an installation.

mod certificates;
mod cluster;
mod operator;
mod pods;
mod trace_buffers;
mod webhook;

use super::check_input::CheckInput;
use super::finding::Finding;
use crate::domain::text::join_limited;

/// The version of this binary, and of the chart it belongs to.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Most names that a message lists.
const MAX_NAMES: usize = 5;

/// Judges what was read of an installation; findings of one section stand together.
#[must_use]
pub fn check(facts: &CheckInput) -> Vec<Finding> {
    [
        cluster::check(facts),
        operator::check(facts),
        webhook::check(facts),
        certificates::check(facts),
        trace_buffers::check(facts),
        pods::check(facts),
    ]
    .concat()
}

/// Lists the first of `names`, and how many more there are.
fn join_names<S: AsRef<str>>(names: &[S]) -> String {
    join_limited(names.iter().map(AsRef::as_ref), MAX_NAMES)
}

#[cfg(test)]
mod tests;
