//! Checks an installation.

mod certificates;
mod cluster;
mod operator;
mod pods;
mod trace_buffers;
mod webhook;

use super::check_input::CheckInput;
use super::finding::Finding;

/// Checks what was read from an installation; findings of one section are consecutive.
#[must_use]
pub fn check(input: &CheckInput) -> Vec<Finding> {
    [
        cluster::check(input),
        operator::check(input),
        webhook::check(input),
        certificates::check(input),
        trace_buffers::check(input),
        pods::check(input),
    ]
    .concat()
}

#[cfg(test)]
mod tests;
