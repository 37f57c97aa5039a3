//! Variables that are no settings, but nearly the name of one.

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::io::{self, Write};

use super::controller::table as controller;
use super::receiver::table as receiver;

/// What the names of all variables begin with.
const PREFIX: &str = "TRACEBUFFER_";
/// The most letters in which a misspelt name differs: added, left out, replaced, or swapped with the next.
const MAX_DIFFERENT_LETTERS: usize = 2;

/// A variable that has no effect, and the one that was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Misspelt {
    pub(in crate::cli) variable: String,
    pub(in crate::cli) meant: String,
}

impl fmt::Display for Misspelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a setting; did you mean {}?", self.variable, self.meant)
    }
}

/// Returns the misspelt variables of this process.
pub(in crate::cli) fn in_environment() -> Vec<Misspelt> {
    misspelt(env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

/// Prints them, for a subcommand that has no log.
pub(in crate::cli) fn print() {
    for misspelt in in_environment() {
        // A closed output is no reason to fail.
        let _ = writeln!(io::stderr(), "{misspelt}");
    }
}

fn misspelt(variables: impl Iterator<Item = String>) -> Vec<Misspelt> {
    let known: BTreeSet<String> =
        receiver::ALL.iter().chain(controller::ALL).map(|it| it.env_var()).collect();
    let unknown = variables.filter(|name| name.starts_with(PREFIX) && !known.contains(name));
    let mut found: Vec<_> = unknown
        .filter(|name| !is_service_link(name))
        .filter_map(|variable| {
            let meant = nearest(&variable, &known)?.to_owned();
            Some(Misspelt { variable, meant })
        })
        .collect();
    found.sort_by(|one, other| one.variable.cmp(&other.variable));
    found
}

fn nearest<'a>(variable: &str, known: &'a BTreeSet<String>) -> Option<&'a str> {
    let distance = |name: &str| strsim::osa_distance(&variable.to_ascii_uppercase(), name);
    let (distance, name) = known.iter().map(|name| (distance(name), name)).min()?;
    (distance <= MAX_DIFFERENT_LETTERS).then_some(name)
}

/// Returns whether Kubernetes sets the variable for a Service named `tracebuffer` or `tracebuffer-…`.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_PORT")
        || name.contains("_PORT_")
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[&str]) -> Vec<String> {
        let found = misspelt(variables.iter().map(|name| (*name).to_owned()));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_that_differs_by_a_letter_or_two_is_corrected() {
        let cases = [
            ("TRACEBUFFER_MAX_SPAN", "TRACEBUFFER_MAX_SPANS"),
            ("TRACEBUFFER_MAXSPANS", "TRACEBUFFER_MAX_SPANS"),
            ("TRACEBUFFER_ENPDOINT", "TRACEBUFFER_ENDPOINT"),
            ("TRACEBUFFER_ENDPOINTS", "TRACEBUFFER_ENDPOINT"),
            ("TRACEBUFFER_linger", "TRACEBUFFER_LINGER"),
            ("TRACEBUFFER_NAMESPACES", "TRACEBUFFER_NAMESPACE"),
        ];
        for (variable, meant) in cases {
            assert_eq!(
                found(&[variable]),
                [format!("{variable} is not a setting; did you mean {meant}?")]
            );
        }
    }

    #[test]
    fn settings_and_names_that_resemble_none_are_left_alone() {
        let others =
            ["TRACEBUFFER_MAX_SPANS", "TRACEBUFFER_TEAM", "TRACEBUFFER_", "MAX_SPAN", "PATH"];

        assert_eq!(found(&others), [""; 0]);
    }

    #[test]
    fn the_variables_of_kubernetes_services_are_left_alone() {
        let links = [
            "TRACEBUFFER_PORT",
            "TRACEBUFFER_SERVICE_HOST",
            "TRACEBUFFER_SERVICE_PORT",
            "TRACEBUFFER_SERVICE_PORT_GRPC",
            "TRACEBUFFER_PORT_80_TCP",
            "TRACEBUFFER_PORT_80_TCP_ADDR",
            "TRACEBUFFER_LINGE_PORT",
        ];

        assert_eq!(found(&links), [""; 0]);
    }
}
