//! Which code may name what. To allow more, change a line here and give the reason in
//! `docs/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use crate::source::{Crate, Mention, Path};

// Every list is words with space between them.

struct Layer {
    name: &'static str,
    /// The layers that it may name, beside itself.
    layers: &'static str,
    /// The crates that it may name, beside `std`; `None` is any.
    crates: Option<&'static str>,
    /// What it may not name even so.
    never: &'static str,
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "domain",
        layers: "",
        crates: Some(""),
        never: "std::env std::fs std::io std::net std::os std::process std::thread \
                std::time::Instant std::time::SystemTime",
    },
    Layer {
        name: "ports",
        layers: "domain",
        crates: Some("bytes"),
        never: "std::env std::fs std::process std::thread",
    },
    Layer {
        name: "application",
        layers: "domain ports",
        crates: Some("bytes parking_lot shuttle_parking_lot tokio tracing"),
        never: "std::env std::fs std::net std::process std::time::Instant std::time::SystemTime \
                tokio::fs tokio::io tokio::net tokio::process tokio::signal",
    },
    Layer { name: "adapters", layers: "domain ports application", crates: None, never: "std::env" },
    // The two outermost: one joins the adapters, the other reads flags and environment.
    Layer {
        name: "bootstrap",
        layers: "domain ports application adapters",
        crates: None,
        never: "std::env",
    },
    Layer {
        name: "cli",
        layers: "domain ports application adapters bootstrap",
        crates: None,
        never: "",
    },
];

/// An adapter is a folder or a file of `src/adapters/`; these are adapters inside another's folder.
const NESTED_ADAPTERS: &str =
    "messaging::destination messaging::json messaging::notation messaging::wire";

/// What every adapter may name: blocking calls, files, the text that a receiver leaves to the operator, the wire
/// formats, how destinations are written down, and the server that carries services.
const SHARED_ADAPTERS: &str =
    "blocking files final_ledger messaging::json messaging::notation messaging::wire server";

/// The files and folders of `src/` that are the operator's.
const OPERATOR: &str = "
    domain/operator/ ports/operator/ application/operator/
    adapters/kubernetes/ adapters/telemetry/operator/
    bootstrap/controller/
    cli/analyze/ cli/controller/ cli/crd.rs cli/diagnosis/ cli/inject.rs cli/input_file.rs
    cli/generated/crd.rs cli/generated/resource.rs cli/generated/skip_reasons.rs
    cli/settings/kinds/kubernetes.rs";

/// Those that serve both; everything else is the receiver's.
const SHARED: &str = "
    lib.rs
    domain/mod.rs domain/backoff.rs domain/bounds.rs domain/final_ledger.rs domain/ledger.rs domain/limits.rs
    domain/limits_text.rs domain/text.rs domain/units.rs
    ports/mod.rs ports/clock.rs
    application/mod.rs
    adapters/mod.rs adapters/blocking.rs adapters/clock.rs adapters/files.rs adapters/final_ledger.rs
    adapters/messaging/notation/ adapters/server/
    adapters/telemetry/mod.rs adapters/telemetry/admin_server.rs adapters/telemetry/exposition.rs
    adapters/telemetry/logging.rs adapters/telemetry/logging/ adapters/telemetry/process.rs
    adapters/telemetry/same_machine.rs
    bootstrap/mod.rs bootstrap/process.rs bootstrap/signals.rs
    cli/mod.rs cli/misspelt.rs cli/generated/mod.rs cli/generated/settings.rs
    cli/settings/mod.rs cli/settings/errors.rs cli/settings/kinds.rs cli/settings/log.rs
    cli/settings/proxy.rs cli/settings/reader.rs";

/// Shared files that name the operator's code: the first runs the subcommand that the command line
/// names; the others re-export what both roles have, and whoever names such an item names the file
/// behind it.
const MAY_NAME_THE_OPERATOR: &str =
    "cli/mod.rs cli/generated/mod.rs cli/settings/kinds.rs cli/misspelt.rs";

/// Shared files that name the receiver's code: the subcommand, the table of its settings, and the value
/// types that only its settings have.
const MAY_NAME_THE_RECEIVER: &str =
    "cli/mod.rs cli/generated/settings.rs cli/settings/kinds.rs cli/misspelt.rs";

/// What a layer names beyond the layers and crates below it, and one adapter of another.
pub(crate) fn wrong_layers(code: &Crate) -> Vec<String> {
    let layer_of = |module: &[String]| {
        let name = module.get(1)?;
        LAYERS.iter().find(|layer| layer.name == name)
    };
    let strays = code.modules.iter().filter(|(path, _)| path.len() > 1 && layer_of(path).is_none());
    let strays = strays.map(|(_, module)| format!("{}: in no layer", module.file));
    let wrong = breaches(code, |mention, path| {
        let layer = layer_of(&mention.home)?;
        let is_wrong = !may_name(layer, path) || is_other_adapter(&mention.home, path);
        is_wrong.then(|| path.join("::"))
    });
    strays.chain(wrong).collect()
}

/// Names each mention that is wrong, however many imports lie between it and what it means.
fn breaches(
    code: &Crate,
    wrong: impl Fn(&Mention, &[String]) -> Option<String>,
) -> impl Iterator<Item = String> {
    code.mentions.iter().filter_map(move |mention| {
        let named = code.targets(mention).iter().find_map(|path| wrong(mention, path))?;
        Some(format!("{}:{} names {named}", mention.file, mention.line))
    })
}

fn may_name(layer: &Layer, path: &[String]) -> bool {
    let whole = path.join("::");
    let is_allowed = match (path.first().map_or("", |first| first), path.get(1)) {
        ("crate", inside) => {
            inside.is_some_and(|inside| inside == layer.name || has_word(layer.layers, inside))
        }
        ("std" | "core" | "alloc", _) => true,
        (name, _) => layer.crates.is_none_or(|crates| has_word(crates, name)),
    };
    is_allowed && !layer.never.split_whitespace().any(|never| starts_with(&whole, never))
}

/// Whether one adapter names another, or the folder that holds both.
fn is_other_adapter(home: &[String], path: &[String]) -> bool {
    let (from, to) = (adapter(home), adapter(path));
    from.is_some() && from != to && to.is_some_and(|to| !has_word(SHARED_ADAPTERS, &to))
}

/// The adapter that a module belongs to: `messaging::wire` for `adapters::messaging::wire::scan`,
/// nothing outside of the adapters, an empty name for their own folder.
fn adapter(module: &[String]) -> Option<String> {
    let inside = module.strip_prefix(&["crate".to_owned(), "adapters".to_owned()])?.join("::");
    let nested = NESTED_ADAPTERS.split_whitespace().find(|nested| starts_with(&inside, nested));
    let outer = inside.split("::").next().unwrap_or_default();
    Some(nested.map_or(outer, |nested| nested).to_owned())
}

fn starts_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn has_word(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|one| one == word)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Operator,
    Receiver,
    Shared,
}

fn role(file: &str) -> Role {
    let is_in =
        |places: &str| places.split_whitespace().any(|place| in_src(file).starts_with(place));
    match (is_in(OPERATOR), is_in(SHARED)) {
        (true, _) => Role::Operator,
        (_, true) => Role::Shared,
        _ => Role::Receiver,
    }
}

/// Where the code of a role names that of the other, or shared code names either.
pub(crate) fn mixed_roles(code: &Crate) -> Vec<String> {
    let wrong = breaches(code, |mention, path| {
        let (_, file) = code.file_of(path)?;
        let is_wrong = match (role(&mention.file), role(file)) {
            (Role::Operator, Role::Receiver) => true,
            (Role::Shared, Role::Receiver) => {
                !has_word(MAY_NAME_THE_RECEIVER, in_src(&mention.file))
            }
            (Role::Receiver | Role::Shared, Role::Operator) => {
                !has_word(MAY_NAME_THE_OPERATOR, in_src(&mention.file))
            }
            _ => false,
        };
        is_wrong.then(|| file.to_owned())
    });
    wrong.collect()
}

fn in_src(file: &str) -> &str {
    file.strip_prefix("src/").unwrap_or(file)
}

/// From each file's module to those that it names, with the first line that does.
type Imports = BTreeMap<Path, BTreeMap<Path, String>>;

/// Circles of files that name one another, with a line for each step. What a module and one
/// inside it name of each other is no circle.
pub(crate) fn import_circles(code: &Crate) -> Vec<String> {
    let mut imports = Imports::new();
    for mention in &code.mentions {
        let targets = code.targets(mention);
        let Some((to, _)) = targets.last().and_then(|path| code.file_of(path)) else { continue };
        let Some((from, file)) = code.file_of(&mention.home) else { continue };
        if !from.starts_with(to) && !to.starts_with(from) {
            let line = || format!("  {file}:{} -> {}", mention.line, to.join("::"));
            let named = imports.entry(from.to_vec()).or_default();
            named.entry(to.to_vec()).or_insert_with(line);
        }
    }
    let mut circles = vec![];
    while let Some(circle) = one_circle(&mut imports) {
        circles.push(format!("a circle of imports:\n{}", circle.join("\n")));
    }
    circles
}

/// Takes one circle, and what leads to none, out of `imports`.
fn one_circle(imports: &mut Imports) -> Option<Vec<String>> {
    let mut edges_before = usize::MAX;
    while edges_before != imports.values().map(BTreeMap::len).sum::<usize>() {
        edges_before = imports.values().map(BTreeMap::len).sum();
        imports.retain(|_, named| !named.is_empty());
        let leading_on: BTreeSet<_> = imports.keys().cloned().collect();
        for named in imports.values_mut() {
            named.retain(|to, _| leading_on.contains(to));
        }
    }
    // Every file that is left names another one that is.
    let mut next = imports.keys().next()?.clone();
    let (mut walked, mut lines) = (vec![], vec![]);
    while !walked.contains(&next) {
        let (to, line) = imports.get(&next)?.first_key_value()?;
        let (to, line) = (to.clone(), line.clone());
        walked.push(mem::replace(&mut next, to));
        lines.push(line);
    }
    let start = walked.iter().position(|path| *path == next)?;
    imports.get_mut(walked.last()?)?.remove(&next);
    Some(lines.split_off(start))
}
