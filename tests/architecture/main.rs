//! The rules of the house, checked on every `cargo test`: which layer and which role may name what,
//! that no files import one another in a circle, that the domain needs nothing but `std`, that every
//! module lies where its name says, and that no file grows beyond reading.

mod planted;
mod rules;
mod source;

use std::{
    collections::BTreeSet,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use crate::source::Crate;

/// A file has fewer lines than this.
const MAX_LINES: usize = 500;

/// What is code, by the end of the file's name.
const CODE: &[&str] = &["rs", "py", "sh"];

/// The tests and benchmarks that are large enough to be ordered.
const OTHER_CRATES: &[&str] = &[
    "tests/architecture/",
    "tests/attacks/",
    "tests/integration/",
    "tests/recovery/",
    "benches/e2e/",
];

static SOURCE: LazyLock<Crate> = LazyLock::new(|| read_crate("src/"));

#[test]
fn every_layer_and_every_adapter_names_only_what_it_may() {
    assert_none(&rules::wrong_layers(&SOURCE));
}

#[test]
fn the_receiver_and_the_operator_do_not_name_one_another() {
    assert_none(&rules::mixed_roles(&SOURCE));
}

#[test]
fn no_files_import_one_another_in_a_circle() {
    assert_none(&rules::import_circles(&SOURCE));
    for root in OTHER_CRATES {
        assert_none(&rules::import_circles(&read_crate(root)));
    }
}

#[test]
fn the_domain_compiles_alone_with_nothing_but_std() {
    let compiled = compile_domain_alone(&root().join("src"));

    assert!(compiled.is_ok(), "\n{}", compiled.unwrap_err());
}

#[test]
fn every_file_of_code_stays_under_the_line_limit() {
    assert_none(&long_files(&files(&["src", "tests", "benches"], CODE)));
}

#[test]
fn no_file_hides_what_it_names() {
    assert_none(&hidden_names(&files(&["src"], &["rs"])));
}

#[test]
fn every_module_lies_where_its_name_says() {
    // Both borrow helpers of the integration tests.
    let borrowers = ["tests/attacks/main.rs", "tests/buffer_schedules.rs"];
    let files = files(&["src", "tests"], &["rs"]);
    let checked = files.iter().filter(|(name, _)| !borrowers.contains(&name.as_str()));

    assert_none(&misplaced_modules(checked));
}

fn assert_none(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read_crate(folder: &str) -> Crate {
    Crate::read(folder, &files(&[folder], &["rs"]), &dependencies())
}

/// The names, as code writes them, of the crates that production code may name.
fn dependencies() -> BTreeSet<String> {
    let cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo starts");
    let metadata: serde_json::Value =
        serde_json::from_slice(&cargo.stdout).expect("cargo writes JSON");
    let all = metadata.pointer("/packages/0/dependencies").and_then(|all| all.as_array());
    let of_production = all.into_iter().flatten().filter(|one| one["kind"].is_null());
    let names = of_production.filter_map(|one| one["rename"].as_str().or(one["name"].as_str()));
    names.chain(["alloc", "core", "std"]).map(|name| name.replace('-', "_")).collect()
}

/// Every file below `folders` with one of these endings, as its name from the root and its text.
fn files(folders: &[&str], endings: &[&str]) -> Vec<(String, String)> {
    let mut found = vec![];
    let mut next: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = next.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of the house can be listed");
            next.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
        } else if path.extension().is_some_and(|end| endings.iter().any(|e| end == *e)) {
            let text = fs::read_to_string(&path).expect("a file of the house can be read");
            let name = path.strip_prefix(root()).expect("it lies below the root");
            found.push((name.to_string_lossy().into_owned(), text));
        }
    }
    found.sort();
    found
}

/// Compiles `src/domain` as a crate of its own, with no other crate at hand.
fn compile_domain_alone(src: &Path) -> Result<(), String> {
    let src = src.to_string_lossy();
    let shim = format!("#[path = {src:?}] mod layer {{ pub mod domain; }} pub use layer::domain;");
    let out = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "lib", "--crate-name", "domain_alone"])
        .args(["--emit", "metadata", "-", "--out-dir"])
        .arg(out.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("rustc does not start: {e}"))?;
    let mut stdin = rustc.stdin.take().ok_or("rustc has no input")?;
    stdin.write_all(shim.as_bytes()).map_err(|e| e.to_string())?;
    drop(stdin);
    let result = rustc.wait_with_output().map_err(|e| e.to_string())?;
    if result.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&result.stderr).into_owned())
}

fn long_files(files: &[(String, String)]) -> Vec<String> {
    let counted = files.iter().map(|(name, text)| (name, text.lines().count()));
    let long = counted.filter(|(_, lines)| *lines >= MAX_LINES);
    long.map(|(name, n)| format!("{name}: {n} lines; a file has fewer than {MAX_LINES}")).collect()
}

/// What the rules do not follow: re-exports of everything, and other names for the crate itself.
fn hidden_names(files: &[(String, String)]) -> Vec<String> {
    let lines =
        files.iter().flat_map(|(name, text)| text.lines().map(move |line| (name, line.trim())));
    let wrong = lines.filter(|(_, line)| {
        let is_glob = line.starts_with("pub") && line.contains(" use ") && line.contains('*');
        is_glob || line.contains("extern crate self")
    });
    wrong.map(|(name, line)| format!("{name}: {line}")).collect()
}

fn misplaced_modules<'a>(files: impl Iterator<Item = &'a (String, String)>) -> Vec<String> {
    let lines = files.flat_map(|(name, text)| text.lines().zip(1..).map(move |line| (name, line)));
    let wrong = lines.filter(|(_, (text, _))| text.trim_start().starts_with("#[path"));
    wrong.map(|(name, (text, line))| format!("{name}:{line}: {}", text.trim())).collect()
}
