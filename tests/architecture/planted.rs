//! Every rule, broken on purpose: what is planted is found, and what is allowed is not.

use std::fs;

use crate::rules::{import_circles, mixed_roles, wrong_layers};
use crate::source::Crate;
use crate::{MAX_LINES, compile_domain_alone, hidden_names, long_files, misplaced_modules};

/// Checks one case a line: the breaches that `rule` finds, or `nothing`, then the files of `src/` that
/// it reads, as `name: text`, with `~` for the end of a line.
fn check(rule: fn(&Crate) -> Vec<String>, cases: &str) {
    let dependencies = ["std", "tokio", "bytes", "tonic"].map(str::to_owned).into();
    for case in cases.trim().lines() {
        let (expected, files) = case.split_once(" <- ").expect("a case has files");
        let file = |file: &str| {
            let (name, text) = file.trim().split_once(": ").expect("a file has a text");
            (format!("src/{name}"), text.replace('~', "\n"))
        };
        let files: Vec<_> = files.split(" ++ ").map(file).collect();
        let found = rule(&Crate::read("src/", &files, &dependencies));
        if expected.trim() == "nothing" {
            assert_eq!(found, [""; 0], "{case}");
        } else {
            assert_eq!(found.len(), expected.split(" and ").count(), "{case}: {found:?}");
            let found = found.join(" and ").replace('\n', "");
            assert!(found.contains(expected.trim()), "{case}: {found}");
        }
    }
}

#[test]
fn a_layer_that_names_too_much_is_found_with_file_and_line() {
    check(
        wrong_layers,
        "
src/domain/a.rs:2 names crate::ports::x    <- domain/a.rs: ~use crate::ports::x;
a.rs:1 names bytes::Bytes                  <- domain/a.rs: use bytes::Bytes;
a.rs:1 names std::time::Instant            <- domain/a.rs: use std::time::{Duration, Instant};
a.rs:1 names crate::application::x         <- ports/a.rs: use crate::application::x;
a.rs:1 names tokio::sync::Notify           <- ports/a.rs: use tokio::sync::Notify;
a.rs:1 names crate::adapters               <- application/a.rs: use super::super::adapters;
a.rs:1 names tonic::Status                 <- application/a.rs: fn f() -> tonic::Status {}
a.rs:1 names tokio::net::TcpStream         <- application/a.rs: use tokio::net::TcpStream;
a.rs:1 names crate::bootstrap::x           <- adapters/a.rs: fn f() { crate::bootstrap::x() }
a.rs:1 names crate::cli::x                 <- adapters/a.rs: use crate::{cli::x};
a.rs:1 names std::env::var                 <- adapters/a.rs: fn f() { std::env::var(NAME) }
a.rs:1 names crate::cli::x                 <- bootstrap/a.rs: use crate::cli::x;
a.rs:1 names std::env::var                 <- bootstrap/a.rs: fn f() { std::env::var(NAME) }
a.rs:1 names crate                         <- ports/a.rs: use crate as all;
a.rs:1 names crate::reexported             <- ports/a.rs: use crate::reexported;
src/utils.rs: in no layer                  <- utils.rs: //! Utilities.
nothing <- domain/a.rs: use super::limits::Limits; use std::fmt;
nothing <- ports/a.rs: use crate::domain::x; use bytes::Bytes;
nothing <- application/a.rs: use crate::{domain, ports}; use tokio::{sync, time::sleep};
nothing <- bootstrap/a.rs: use crate::adapters::storage;
nothing <- cli/a.rs: use crate::bootstrap::x; fn f() { std::env::var(NAME) }
nothing <- lib.rs: pub mod domain;
",
    );
}

#[test]
fn an_adapter_that_names_another_is_found() {
    check(wrong_layers, "
names crate::adapters::storage::x      <- adapters/messaging/destination/a.rs: use crate::adapters::storage::x;
names crate::adapters::messaging::otlp <- adapters/messaging/destination/a.rs: use super::super::otlp::x;
names crate::adapters::messaging       <- adapters/messaging/destination/a.rs: use super::super::*;
names crate::adapters::messaging::dest <- adapters/messaging/otlp.rs: use super::destination::x;
names crate::adapters::messaging::otlp <- adapters/messaging/wire/a.rs: use super::super::otlp::x;
names crate::adapters::telemetry       <- adapters/server/mod.rs: use crate::adapters::telemetry;
names crate::adapters                  <- adapters/storage/a.rs: use crate::adapters as all;
names crate::adapters::storage::x      <- adapters/mod.rs: pub use storage::x; ++ adapters/storage.rs: //!
nothing <- adapters/messaging/destination/a.rs: use super::http; use crate::adapters::messaging::wire::x;
nothing <- adapters/messaging/body/a.rs: use super::super::refused;
nothing <- adapters/telemetry/admin.rs: use crate::adapters::server;
");
}

#[test]
fn a_crate_is_found_however_it_is_named() {
    check(
        wrong_layers,
        r#"
names tokio         <- domain/a.rs: use tokio as other;
names tokio         <- domain/a.rs: use {std::fmt, tokio::{self}};
names tokio::x      <- domain/a.rs: use ::tokio::x;
names tokio         <- domain/a.rs: extern crate tokio;
names tokio::main   <- domain/a.rs: #[tokio::main] fn f() {}
names tokio::X      <- domain/a.rs: #[derive(tokio::X)] struct S;
a.rs:2 names tokio  <- domain/a.rs: fn f(x: u8) {~g(x as u8, ::tokio::spawn(y)) }
names tokio::X      <- domain/a.rs: fn f() -> Vec<Option<tokio::X>> {}
a.rs:2 names tokio  <- domain/a.rs: fn f() { assert_eq!(a,~ g(b, &[tokio::X])) }
names tokio::x      <- domain/a.rs: macro_rules! m { () => { ::tokio::x() } }
names crate::ports  <- domain/a.rs: fn f() { assert!(matches!(super::super::ports::X, X)) }
names tokio::x      <- domain/a.rs: mod m { impl super::X { fn f() { tokio::x() } } }
ports/a.rs:1 names tokio::x and src/domain.rs:1 names tokio::x <- ports/a.rs: use crate::domain::x; ++ domain.rs: pub use tokio::x;
nothing <- domain/a.rs: //! Doc: tokio::net~const X: &str = "tokio::net"; // tokio::net
nothing <- domain/a.rs: fn f() { std::tokio::x(); <T as A>::tokio::y(); <T>::z() }
nothing <- domain/a.rs: mod tokio; use tokio::x; ++ domain/a/tokio.rs: //!
nothing <- domain/a.rs: mod m { use super::super::b; fn f() { b::tokio::x() } }
"#,
    );
}

#[test]
fn test_code_is_left_alone_and_what_follows_it_is_not() {
    check(
        wrong_layers,
        "
a.rs:2 names tokio::x <- domain/a.rs: #[cfg(test)] mod tests { use tokio::a; }~use tokio::x;
a.rs:2 names tokio::x <- domain/a.rs: #[cfg(all(test, unix))] fn f() { tokio::d() }~use tokio::x;
a.rs:2 names tokio::x <- domain/a.rs: impl X { #[cfg(test)] fn f() { tokio::x() } }~use tokio::x;
a.rs:2 names tokio::x <- domain/a.rs: #[cfg(test)] use tokio::c;~#[cfg(not(test))] use tokio::x;
nothing <- domain/a.rs: #[cfg(test)] mod tests; ++ domain/a/tests/more.rs: use tokio::x;
",
    );
}

#[test]
fn a_role_that_names_the_other_is_found_also_through_an_import() {
    check(mixed_roles, "
a.rs:1 names src/domain/operator/b.rs      <- domain/a.rs: use super::operator::b::B; ++ domain/operator/b.rs: //!
units.rs:2 names src/domain/operator/b.rs  <- domain/units.rs: ~use super::operator::b::B; ++ domain/operator/b.rs: //!
b.rs:1 names src/domain/a.rs               <- domain/operator/b.rs: use crate::domain::a::A; ++ domain/a.rs: //!
crd.rs:1 names src/domain/a.rs and src/domain/units.rs:1 names <- cli/crd.rs: use crate::domain::units::A; ++ domain/units.rs: use super::a::A; ++ domain/a.rs: //!
a.rs:1 names src/domain/operator/b.rs      <- cli/a.rs: fn f() { x!(crate::domain::operator::b::x()) } ++ domain/operator/b.rs: //!
storage.rs:1 names src/adapters/kubernetes <- adapters/storage.rs: use super::kubernetes; ++ adapters/kubernetes/mod.rs: //!
table.rs:1 names src/cli/settings/kinds/ku <- cli/table.rs: use super::settings::kinds::X; ++ cli/settings/kinds.rs: pub use kubernetes::X; ++ cli/settings/kinds/kubernetes.rs: //!
units.rs:1 names src/domain/a.rs            <- domain/units.rs: use super::a::A; ++ domain/a.rs: //!
nothing <- cli/mod.rs: use crate::domain::{a, operator::b}; ++ domain/a.rs: //! ++ domain/operator/b.rs: //!
nothing <- cli/crd.rs: use crate::domain::{operator::b, units}; ++ domain/units.rs: //! ++ domain/operator/b.rs: //!
nothing <- domain/a.rs: use super::{b::B, units}; ++ domain/b.rs: //! ++ domain/units.rs: //!
");
}

#[test]
fn a_circle_of_imports_is_found_with_its_steps() {
    check(import_circles, "
src/a.rs:1 -> crate::b  src/b.rs:2 -> crate::a <- a.rs: use super::b::B; ++ b.rs: ~fn f() { crate::a::A }
src/a.rs:1 -> crate::b  src/b.rs:1 -> crate::c  src/c/mod.rs:1 -> crate::a <- a.rs: use super::b; ++ b.rs: use super::c; ++ c/mod.rs: mod m { use crate::a as x; }
src/a.rs:1 -> crate::b  src/b.rs:1 -> crate::a <- a.rs: use super::b::B; ++ b.rs: use super::d::A; ++ d.rs: pub use super::a::A;
src/b.rs:1 -> crate::a and a circle of imports:  src/c.rs:1 -> crate::d <- a.rs: use super::{b, c}; ++ b.rs: use super::a; ++ c.rs: use super::d; ++ d.rs: use super::c;
nothing <- a.rs: use super::b::B; ++ b.rs: #[cfg(test)] mod tests { use super::super::a::A; }
nothing <- a.rs: use super::b::B; ++ b.rs: use super::c; ++ c.rs: use super::d; ++ d.rs: //!
nothing <- c/mod.rs: pub use d::D; ++ c/d.rs: use super::C;
");
}

#[test]
fn a_domain_compiles_alone_unless_it_needs_another_crate_or_layer() {
    let cases = [
        ("pub mod a; #[cfg(test)] mod tests { use proptest::x; }", true),
        ("pub mod a; pub fn f() -> crate::domain::a::A { a::A }", true),
        ("use tokio::sync::Notify;", false),
        ("use crate::ports::Clock;", false),
    ];
    for (text, compiles) in cases {
        let src = tempfile::tempdir().unwrap();
        fs::create_dir(src.path().join("domain")).unwrap();
        fs::write(src.path().join("domain/mod.rs"), text).unwrap();
        fs::write(src.path().join("domain/a.rs"), "pub struct A;").unwrap();
        assert_eq!(compile_domain_alone(src.path()).is_ok(), compiles, "{text}");
    }
}

#[test]
fn a_file_at_the_limit_is_too_long_and_one_line_less_is_not() {
    let files = [MAX_LINES, MAX_LINES - 1].map(|n| (format!("{n}.rs"), "\n".repeat(n)));

    assert_eq!(long_files(&files), ["500.rs: 500 lines; a file has fewer than 500"]);
}

#[test]
fn a_name_that_the_rules_cannot_follow_is_found() {
    let text =
        "use super::*;\npub use a::*;\npub(crate) use a::{b, c::*};\nextern crate self as x;";
    let files = [("src/a.rs".to_owned(), text.to_owned())];

    assert_eq!(hidden_names(&files).len(), 3);
}

#[test]
fn a_module_in_another_place_is_found_also_in_test_code() {
    let text = "#[cfg(test)]\nmod a {\n  #[path = \"x.rs\"]\n  mod b;\n}";
    let files = [("src/a.rs".to_owned(), text.to_owned())];

    assert_eq!(misplaced_modules(files.iter()), ["src/a.rs:3: #[path = \"x.rs\"]"]);
}
