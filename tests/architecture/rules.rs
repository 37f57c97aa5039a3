//! Which layer may name what. To allow more, change a line here and give the reason in
//! `docs/architecture.md`.

use std::collections::BTreeSet;

use crate::paths::{Mention, Module, Production, Target};

struct Layer {
    name: &'static str,
    /// The layers that it may name, beside itself.
    layers: &'static [&'static str],
    /// The crates that it may name, beside `std`; `None` is any.
    crates: Option<&'static [&'static str]>,
    /// What it may not name even so.
    never: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "domain",
        layers: &[],
        crates: Some(&[]),
        never: &[
            "std::env",
            "std::fs",
            "std::io",
            "std::net",
            "std::os",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
    },
    Layer {
        name: "ports",
        layers: &["domain"],
        crates: Some(&["bytes"]),
        never: &["std::env", "std::fs", "std::process", "std::thread"],
    },
    Layer {
        name: "application",
        layers: &["domain", "ports"],
        crates: Some(&["bytes", "parking_lot", "shuttle_parking_lot", "tokio", "tracing"]),
        never: &[
            "std::env",
            "std::fs",
            "std::net",
            "std::process",
            "std::time::Instant",
            "std::time::SystemTime",
            "tokio::fs",
            "tokio::io",
            "tokio::net",
            "tokio::process",
            "tokio::signal",
        ],
    },
    Layer {
        name: "adapters",
        layers: &["domain", "ports", "application"],
        crates: None,
        never: &["std::env"],
    },
    // The two outermost: one joins the adapters, the other reads flags and environment.
    Layer {
        name: "bootstrap",
        layers: &["domain", "ports", "application", "adapters", "cli"],
        crates: None,
        never: &["std::env"],
    },
    Layer {
        name: "cli",
        layers: &["domain", "ports", "application", "adapters", "bootstrap"],
        crates: None,
        never: &[],
    },
];

/// An adapter is a folder or a file of `src/adapters/`; these are adapters inside another's folder.
const NESTED: &[&str] =
    &["messaging::destination", "messaging::json", "messaging::notation", "messaging::wire"];

/// What every adapter may name: the wire formats, how destinations are written down, and the server
/// that carries services.
const SHARED: &[&str] =
    &["files", "messaging::json", "messaging::notation", "messaging::wire", "server"];

/// One file of `src/`, and what the rules need to know of the others.
pub(crate) struct File<'a> {
    /// As it is shown: `src/ports/clock.rs`.
    pub(crate) name: &'a str,
    pub(crate) source: &'a str,
    /// Every crate of the manifest, and `std`.
    pub(crate) crates: &'a BTreeSet<String>,
}

/// Returns one line for each rule that `file` breaks.
pub(crate) fn breaches(file: &File<'_>) -> Vec<String> {
    let home = module(file.name);
    let Some(layer) = LAYERS.iter().find(|l| home.first().is_some_and(|h| h == l.name)) else {
        let is_root = ["src/lib.rs", "src/main.rs"].contains(&file.name);
        return if is_root { vec![] } else { vec![format!("{}: in no layer", file.name)] };
    };
    Production::read(file.source)
        .mentions(&home, file.crates)
        .into_iter()
        .filter_map(|Mention { line, target }| {
            let wrong = match target {
                Target::Inside(path) => {
                    inside(layer, &path).or_else(|| between_adapters(&home, &path))
                }
                Target::Outside(path) => outside(layer, &path),
            };
            wrong.map(|wrong| format!("{}:{line}: {wrong}", file.name))
        })
        .collect()
}

/// Returns the modules that lie in files of their own, as paths of those files, and whether they are
/// there for tests only.
pub(crate) fn declared_files(name: &str, source: &str) -> Vec<(Vec<String>, bool)> {
    let home = module(name);
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let file = |declared: &Module<'_>| match declared.path {
        Some(path) => module(&format!("{folder}/{path}")),
        None => home.iter().cloned().chain([declared.name.to_owned()]).collect(),
    };
    let modules = Production::read(source).modules;
    modules.iter().map(|declared| (file(declared), declared.is_test)).collect()
}

/// The module that a file of `src/` is: `src/ports/mod.rs` and `src/ports.rs` are `ports`.
pub(crate) fn module(name: &str) -> Vec<String> {
    let path = name.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let mut found: Vec<String> = vec![];
    for segment in path.split('/').filter(|s| !["lib", "main"].contains(s)) {
        if segment == ".." {
            found.pop();
        } else {
            found.push(segment.to_owned());
        }
    }
    found
}

fn inside(layer: &Layer, path: &[String]) -> Option<String> {
    let named = path.first().map_or("", String::as_str);
    if named == layer.name || layer.layers.contains(&named) {
        return None;
    }
    let what = if LAYERS.iter().any(|l| l.name == named) {
        format!("the layer {named}")
    } else {
        format!("crate::{named}, which is no layer")
    };
    Some(format!("{} names {what}; it may name {}", layer.name, list(layer.layers)))
}

fn outside(layer: &Layer, path: &[String]) -> Option<String> {
    let named = path.first().map_or("", String::as_str);
    let is_standard = ["std", "core", "alloc"].contains(&named);
    if let Some(crates) = layer.crates.filter(|c| !is_standard && !c.contains(&named)) {
        let allowed = list(crates);
        return Some(format!("{} names the crate {named}; it may name {allowed}", layer.name));
    }
    let path = path.join("::");
    let never = layer.never.iter().find(|never| starts_with(&path, never))?;
    Some(format!("{} names {never}, which it must never", layer.name))
}

/// One adapter naming another one, or the folder that holds both.
fn between_adapters(home: &[String], path: &[String]) -> Option<String> {
    let (from, to) = (adapter(home)?, adapter(path)?);
    let wrong = from != to && !SHARED.contains(&to.as_str());
    let shared = list(SHARED);
    wrong.then(|| format!("adapters::{from} names adapters::{to}; it may name {shared}"))
}

/// The adapter that a module belongs to: `messaging::wire` for `adapters::messaging::wire::scan`,
/// nothing outside of the adapters, an empty name for their own folder.
fn adapter(module: &[String]) -> Option<String> {
    let inside = module.strip_prefix(&["adapters".to_owned()])?.join("::");
    let nested = NESTED.iter().find(|nested| starts_with(&inside, nested));
    let outer = inside.split("::").next().unwrap_or_default();
    Some(nested.map_or(outer, |nested| nested).to_owned())
}

fn starts_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "no other".to_owned() } else { format!("only {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, source: &str) -> Vec<String> {
        let crates = ["std", "tokio", "bytes", "tonic"].map(str::to_owned).into();
        breaches(&File { name, source, crates: &crates })
    }

    #[test]
    fn a_layer_may_name_itself_and_those_below_it() {
        assert!(check("src/domain/fifo.rs", "use super::limits::Limits; use std::fmt;").is_empty());
        assert!(check("src/ports/clock.rs", "use crate::domain::x; use bytes::Bytes;").is_empty());
        assert!(
            check("src/application/a.rs", "use crate::{domain, ports}; use tokio::sync;")
                .is_empty()
        );
        assert!(check("src/bootstrap/a.rs", "use crate::{adapters::storage, cli};").is_empty());
    }

    #[test]
    fn each_upward_dependency_is_named_with_file_and_line() {
        let wrong = [
            (
                "src/domain/a.rs",
                "\nuse crate::ports::x;",
                "src/domain/a.rs:2: domain names the layer ports",
            ),
            (
                "src/ports/a.rs",
                "use crate::application::x;",
                "src/ports/a.rs:1: ports names the layer application",
            ),
            (
                "src/application/a.rs",
                "use super::super::adapters;",
                "application names the layer adapters",
            ),
            (
                "src/adapters/a.rs",
                "fn f() { crate::bootstrap::x() }",
                "adapters names the layer bootstrap",
            ),
            ("src/adapters/storage/a.rs", "use crate::{cli::x};", "adapters names the layer cli"),
        ];

        for (name, source, expected) in wrong {
            let found = check(name, source);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found.iter().all(|line| line.contains(expected)), "{found:?}");
        }
    }

    #[test]
    fn each_foreign_crate_is_named_with_what_is_allowed() {
        let found = check("src/domain/a.rs", "use bytes::Bytes;");
        assert_eq!(
            found,
            ["src/domain/a.rs:1: domain names the crate bytes; it may name no other"]
        );

        let found = check("src/ports/a.rs", "use tokio::sync::Notify;");
        assert_eq!(
            found,
            ["src/ports/a.rs:1: ports names the crate tokio; it may name only bytes"]
        );

        assert_eq!(check("src/application/a.rs", "fn f() -> tonic::Status {}").len(), 1);
        assert!(check("src/adapters/storage/a.rs", "use tonic::Status;").is_empty());
    }

    #[test]
    fn clocks_and_input_and_output_stay_outside_of_the_inner_layers() {
        assert_eq!(check("src/domain/a.rs", "use std::time::{Duration, Instant};").len(), 1);
        assert_eq!(check("src/application/a.rs", "use tokio::net::TcpStream;").len(), 1);
        assert!(check("src/application/a.rs", "use tokio::time::sleep;").is_empty());
    }

    #[test]
    fn only_the_command_line_reads_the_environment() {
        let source = "fn f() { std::env::var(NAME) }";

        assert_eq!(check("src/bootstrap/a.rs", source).len(), 1);
        assert_eq!(check("src/adapters/storage/a.rs", source).len(), 1);
        assert!(check("src/cli/a.rs", source).is_empty());
    }

    #[test]
    fn an_adapter_may_name_itself_and_what_is_shared_only() {
        let name = "src/adapters/messaging/destination/grpc.rs";

        assert!(
            check(name, "use super::http; use crate::adapters::messaging::wire::x;").is_empty()
        );
        assert_eq!(check(name, "use crate::adapters::storage::x;").len(), 1);
        assert_eq!(check(name, "use super::super::otlp_grpc::x;").len(), 1);
        assert_eq!(check("src/adapters/messaging/door.rs", "use super::destination::x;").len(), 1);
        assert!(check("src/adapters/messaging/body/a.rs", "use super::super::refused;").is_empty());
        assert!(
            check("src/adapters/telemetry/admin.rs", "use crate::adapters::server;").is_empty()
        );
        assert_eq!(check("src/adapters/clock.rs", "use super::storage::memory::x;").len(), 1);
    }

    #[test]
    fn what_is_shared_names_no_adapter_that_uses_it() {
        assert_eq!(check("src/adapters/server/mod.rs", "use crate::adapters::telemetry;").len(), 1);
        assert_eq!(
            check("src/adapters/messaging/wire/a.rs", "use super::super::door::x;").len(),
            1
        );
    }

    #[test]
    fn the_folder_that_holds_two_adapters_is_no_way_from_one_to_the_other() {
        let name = "src/adapters/messaging/destination/a.rs";

        assert_eq!(check("src/adapters/storage/a.rs", "use crate::adapters as all;").len(), 1);
        assert_eq!(check(name, "use super::super::*;").len(), 1);
        assert_eq!(check("src/adapters/mod.rs", "mod storage; pub use storage::x;").len(), 1);
    }

    #[test]
    fn the_crate_root_is_no_way_around_the_layers() {
        assert_eq!(check("src/ports/a.rs", "use crate as all;").len(), 1);
        assert_eq!(check("src/ports/a.rs", "use crate::reexported;").len(), 1);
    }

    #[test]
    fn a_file_in_no_layer_is_a_breach_unless_it_is_a_root() {
        assert_eq!(check("src/utils.rs", ""), ["src/utils.rs: in no layer"]);
        assert!(check("src/lib.rs", "pub mod domain;").is_empty());
    }
}
