//! What is right and wrong with an installation.

mod certificates;
mod cluster;
mod operator;
mod pods;
mod trace_buffers;
mod webhook;

use super::facts::Facts;
use super::finding::Finding;
use crate::domain::injection::words::listed;

/// The version of this binary, and of the chart it belongs to.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Most names that a message lists.
const MOST_NAMES: usize = 5;

/// Judges what was read of an installation; findings of one section stand together.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Finding> {
    [
        cluster::judge(facts),
        operator::judge(facts),
        webhook::judge(facts),
        certificates::judge(facts),
        trace_buffers::judge(facts),
        pods::judge(facts),
    ]
    .concat()
}

/// Lists the first of `names`, and how many more there are.
fn few<S: AsRef<str>>(names: &[S]) -> String {
    listed(names.iter().map(AsRef::as_ref), MOST_NAMES)
}

#[cfg(test)]
mod tests;
