//! The tables of `docs/conformance.md`, generated from the tests.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- tests -->\n";
const END: &str = "<!-- /tests -->";

/// The files with tests, in the order of the document.
const FILES: [&str; 9] = [
    "answers",
    "messages",
    "compression",
    "limits",
    "grpc",
    "http",
    "http_framing",
    "json",
    "proto_json",
];

/// The sources of rules.
const SOURCES: [&str; 8] = [
    "OTLP, ",
    "gRPC, ",
    "Protobuf, ",
    "ProtoJSON, ",
    "RFC ",
    "`common.proto`, ",
    "`trace.proto`, ",
    "Beyond OTLP: ",
];

#[test]
fn the_document_lists_every_test_with_its_rule() {
    let path = root().join("docs/conformance.md");
    let found = fs::read_to_string(&path).unwrap();
    let (before, rest) = found.split_once(BEGIN).expect("it has a begin marker");
    let (_, after) = rest.split_once(END).expect("it has an end marker");

    let expected = format!("{before}{BEGIN}{}\n{END}{after}", tables());

    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, expected).unwrap();
    } else {
        let hint = "to update it, run `UPDATE=1 cargo test --test integration conformance`";
        assert!(found == expected, "docs/conformance.md differs from the tests; {hint}");
    }
}

#[test]
fn every_test_cites_its_rule() {
    for file in FILES {
        for Test { name, rule } in tests_of(&read(file)) {
            assert!(SOURCES.iter().any(|source| rule.starts_with(source)), "{file}::{name}");
        }
    }
}

#[test]
fn every_file_with_tests_is_in_the_document() {
    let folder = fs::read_dir(folder()).unwrap();
    for file in folder.map(|entry| entry.unwrap().path()) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let has_tests = name != "document" && !tests_of(&read(name)).is_empty();

        assert_eq!(has_tests, FILES.contains(&name), "{name}");
    }
}

struct Test {
    name: String,
    rule: String,
}

fn tables() -> String {
    let mut text = String::new();
    for file in FILES {
        let source = read(file);
        let about: Vec<_> =
            source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let (title, transports) = about.join("\n").split_once("\n\n").map_or_else(
            || panic!("{file} does not name its transports"),
            |(title, transports)| (title.to_owned(), transports.replace('\n', " ")),
        );
        write!(text, "\n## {}\n\n{transports}\n\n", title.trim_end_matches('.')).unwrap();
        text.push_str("| Rule | Test |\n|---|---|\n");
        for Test { name, rule } in tests_of(&source) {
            writeln!(text, "| {} | `{file}::{name}` |", rule.replace('|', "\\|")).unwrap();
        }
    }
    text
}

/// The tests of a file, each with its documentation comment.
fn tests_of(source: &str) -> Vec<Test> {
    let mut tests = vec![];
    let mut rule = vec![];
    let mut is_test = false;
    for line in source.lines() {
        if let Some(comment) = line.strip_prefix("///") {
            rule.push(comment.trim());
        } else if line.starts_with("#[") {
            is_test |= line.contains("test]");
        } else {
            let name = line.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
            if let (true, Some(name)) = (is_test, name) {
                tests.push(Test { name: name.to_owned(), rule: rule.join(" ") });
            }
            rule.clear();
            is_test = false;
        }
    }
    tests
}

fn read(file: &str) -> String {
    fs::read_to_string(folder().join(format!("{file}.rs"))).unwrap()
}

fn folder() -> PathBuf {
    root().join("tests/integration/receiver/conformance")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}
