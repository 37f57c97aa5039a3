//! Files that are made from the resource's definition, and the objects that show how it is used.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tracebuffer::cli::document::{chart_crd, crd_manifest, resource_reference};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Checks that `file` holds `expected`; with `UPDATE=1` in the environment, writes it instead.
fn check_file(file: &str, expected: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        fs::write(&path, expected).expect("the file can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let hint = "to make it so, run `UPDATE=1 cargo test --test crd`";
    assert!(found == expected, "{file} differs from the resource; {hint}");
}

#[test]
fn the_committed_crd_is_the_one_of_the_code() {
    check_file("crds/tracebuffers.tracebuffer.dev.yaml", &crd_manifest());
}

#[test]
fn the_charts_crd_is_the_one_of_the_code() {
    check_file("charts/tracebuffer/templates/crd.yaml", &chart_crd());
}

#[test]
fn the_committed_reference_is_the_one_of_the_schema() {
    check_file("docs/configuration.md", &resource_reference());
}

#[test]
fn the_command_prints_the_crd() {
    let output = Command::new(env!("CARGO_BIN_EXE_tracebuffer")).arg("crd").output().unwrap();

    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), crd_manifest());
}
