//! The rules of the house, checked on every `cargo test`: which layer may name what, that the
//! domain needs nothing but `std`, and that no file grows beyond reading.

mod lexer;
mod paths;
mod rules;

use std::{
    collections::BTreeSet,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A file has fewer lines than this.
const MAX_LINES: usize = 500;

/// What is code, by the end of the file's name.
const CODE: &[&str] = &["rs", "py", "sh"];

#[test]
fn every_layer_and_every_adapter_names_only_what_it_may() {
    let wrong = layer_breaches(&root());

    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_domain_compiles_alone_with_nothing_but_std() {
    let compiled = compile_domain_alone(&root().join("src"));

    assert!(compiled.is_ok(), "\n{}", compiled.unwrap_err());
}

#[test]
fn every_file_of_code_stays_under_the_line_limit() {
    let wrong = long_files(&root(), &["src", "tests", "benches"]);

    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_planted_breach_is_found_and_test_code_is_left_alone() {
    let house = planted(&[
        ("Cargo.toml", "[dependencies]\ntokio = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n"),
        ("src/lib.rs", "pub mod ports;"),
        ("src/ports/mod.rs", "#[cfg(test)]\nmod tests;\npub mod store;"),
        ("src/ports/tests.rs", "use tokio::sync::Notify;"),
        ("src/ports/tests/more.rs", "use crate::adapters::x;"),
        ("src/ports/store.rs", "//! Doc: tokio::net\n\nuse tokio::sync::Notify;"),
        ("src/ports/clock.rs", "#[cfg(test)]\n#[path = \"clock_tests.rs\"]\nmod tests;"),
        ("src/ports/clock_tests.rs", "#[path = \"more/b.rs\"]\nmod b;\nuse tokio::sync::Notify;"),
        ("src/ports/more/b.rs", "use tokio::sync::Notify;"),
    ]);

    let wrong = layer_breaches(house.path());

    assert_eq!(
        wrong,
        ["src/ports/store.rs:3: ports names the crate tokio; it may name only bytes"]
    );
}

#[test]
fn a_domain_that_needs_another_crate_or_layer_does_not_compile_alone() {
    for source in ["use tokio::sync::Notify;", "use crate::ports::Clock;"] {
        let house = planted(&[("src/domain/mod.rs", source)]);

        assert!(compile_domain_alone(&house.path().join("src")).is_err(), "{source}");
    }
}

#[test]
fn a_domain_of_plain_rust_compiles_alone() {
    let house = planted(&[
        ("src/domain/mod.rs", "pub mod a;\npub mod b;"),
        ("src/domain/a.rs", "pub struct A;\n#[cfg(test)]\nmod tests { use proptest::x; }"),
        ("src/domain/b.rs", "pub fn a() -> crate::domain::a::A { super::a::A }"),
    ]);

    assert_eq!(compile_domain_alone(&house.path().join("src")), Ok(()));
}

#[test]
fn a_file_at_the_limit_is_too_long_and_one_line_less_is_not() {
    let (long, short) = ("\n".repeat(MAX_LINES), "\n".repeat(MAX_LINES - 1));
    let house = planted(&[
        ("src/long.rs", long.as_str()),
        ("src/short.rs", short.as_str()),
        ("tests/data.json", long.as_str()),
    ]);

    let wrong = long_files(house.path(), &["src", "tests", "absent"]);

    assert_eq!(wrong, ["src/long.rs:500: 500 lines; a file has fewer than 500"]);
}

#[test]
fn dependencies_are_read_from_every_form_of_the_manifest() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# c = 1\nhyper-util = \"1\"\n\
                    tonic = { version = \"1\" }\n[target.'cfg(unix)'.dependencies]\nrustix = \"1\"\n\
                    [dependencies.tokio]\nversion = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n";

    let expected = ["alloc", "core", "hyper_util", "rustix", "std", "tokio", "tonic"];
    assert_eq!(dependencies(manifest).into_iter().collect::<Vec<_>>(), expected);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with these files in it.
fn planted(files: &[(&str, &str)]) -> tempfile::TempDir {
    let house = tempfile::tempdir().expect("a temporary folder can be made");
    for (name, text) in files {
        let path = house.path().join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("it can be made");
        fs::write(path, text).expect("the temporary folder can be written");
    }
    house
}

fn layer_breaches(root: &Path) -> Vec<String> {
    let crates = dependencies(&read(&root.join("Cargo.toml")));
    let sources: Vec<_> = files(&root.join("src"))
        .iter()
        .map(|path| (shown(root, path), read(path)))
        .filter(|(name, _)| has_ending(Path::new(name), &["rs"]))
        .collect();
    let tests = test_files(&sources);
    sources
        .iter()
        .filter(|(name, _)| !is_inside(name, &tests))
        .flat_map(|(name, source)| rules::breaches(&rules::File { name, source, crates: &crates }))
        .collect()
}

/// The modules for tests only, as paths of their files: declared so, or by one that is.
fn test_files(sources: &[(String, String)]) -> BTreeSet<Vec<String>> {
    let mut tests = BTreeSet::new();
    loop {
        let before = tests.len();
        for (name, source) in sources {
            let inherited = is_inside(name, &tests);
            let declared = rules::declared_files(name, source).into_iter();
            tests.extend(declared.filter(|(_, test)| *test || inherited).map(|(file, _)| file));
        }
        if tests.len() == before {
            return tests;
        }
    }
}

fn is_inside(name: &str, modules: &BTreeSet<Vec<String>>) -> bool {
    let file = rules::module(name);
    modules.iter().any(|module| file.starts_with(module))
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

fn long_files(root: &Path, folders: &[&str]) -> Vec<String> {
    folders
        .iter()
        .flat_map(|folder| files(&root.join(folder)))
        .filter(|path| has_ending(path, CODE))
        .map(|path| (read(&path).lines().count(), shown(root, &path)))
        .filter(|(lines, _)| *lines >= MAX_LINES)
        .map(|(n, name)| format!("{name}:{n}: {n} lines; a file has fewer than {MAX_LINES}"))
        .collect()
}

/// The names, as code writes them, of the crates that production code may name.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found: BTreeSet<_> = ["alloc", "core", "std"].map(str::to_owned).into();
    let mut is_inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            is_inside = header == "dependencies" || header.ends_with(".dependencies");
            found.extend(header.strip_prefix("dependencies.").map(|name| name.replace('-', "_")));
        } else if is_inside && !line.starts_with('#') {
            let name = line.split_once(['=', '.']).map(|(name, _)| name.trim().replace('-', "_"));
            found.extend(name);
        }
    }
    found
}

/// Every file under `folder`, in order; none if there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let mut paths: Vec<_> =
        entries.map(|entry| entry.expect("the folder can be listed").path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|end| endings.iter().any(|e| end == *e))
}

fn read(path: &Path) -> String {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    text.expect("every file of the house can be read")
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}
