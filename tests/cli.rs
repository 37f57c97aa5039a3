//! The binary as a person meets it, and the files that are made from the table of settings.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use tracebuffer::cli::document::{env_example, settings_table};

const USAGE: Option<i32> = Some(64);

const TABLE_BEGIN: &str = "<!-- settings -->\n";
const TABLE_END: &str = "<!-- /settings -->";

fn tracebuffer(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracebuffer"));
    command.env_clear().args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    tracebuffer(arguments).output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("printed text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("printed text")
}

/// Checks that `file` holds `expected`; with `UPDATE=1` in the environment, writes it instead.
fn check_file(file: &str, expected: impl FnOnce(&str) -> String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let found = fs::read_to_string(&path).unwrap_or_default();
    let expected = expected(&found);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, expected).expect("the file can be written");
    } else {
        let hint = "to make it so, run `UPDATE=1 cargo test --test cli`";
        assert!(found == expected, "{file} differs from the table of settings; {hint}");
    }
}

/// Returns `document` with the table of settings between its markers.
fn with_table(document: &str) -> String {
    let (before, rest) =
        document.split_once(TABLE_BEGIN).expect("docs/receiver.md has a table marker");
    let (_, after) = rest.split_once(TABLE_END).expect("docs/receiver.md has an end marker");
    format!("{before}{TABLE_BEGIN}\n{}\n{TABLE_END}{after}", settings_table())
}

#[test]
fn the_committed_env_example_is_the_one_of_the_table() {
    check_file(".env.example", |_| env_example());
}

#[test]
fn the_committed_receiver_document_holds_the_table_of_settings() {
    check_file("docs/receiver.md", with_table);
}

#[test]
fn the_version_goes_to_standard_output() {
    let output = run(&["--version"]);

    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), format!("tracebuffer {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_help_of_the_receiver_shows_every_flag_variable_and_default() {
    let output = run(&["receiver", "--help"]);

    let help = stdout(&output);
    assert_eq!(output.status.code(), Some(0));
    for line in env_example().lines().filter(|line| line.starts_with("TRACEBUFFER_")) {
        let (variable, default) = line.split_once('=').unwrap();
        let flag = variable.trim_start_matches("TRACEBUFFER_").to_lowercase().replace('_', "-");
        assert!(help.contains(&format!("--{flag} <")), "{flag}");
        let shown = match default {
            "" => format!("[env: {variable}]\n"),
            _ => format!("[env: {variable}] [default: {default}]\n"),
        };
        assert!(help.contains(&shown), "{shown}");
    }
}

#[test]
fn without_a_command_it_says_what_is_missing() {
    let output = run(&[]);

    assert_eq!(output.status.code(), USAGE);
    assert!(stderr(&output).contains("try `tracebuffer receiver`"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn an_unknown_command_is_named() {
    let output = run(&["recieve"]);

    assert_eq!(output.status.code(), USAGE);
    assert!(stderr(&output).contains("'recieve'"), "{}", stderr(&output));
}

#[test]
fn an_unknown_flag_is_named_without_its_value() {
    let output = run(&["receiver", "--header=authorization=hunter2"]);

    assert_eq!(output.status.code(), USAGE);
    assert!(stderr(&output).contains("'--header'"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
}

#[test]
fn wrong_settings_are_listed_together_and_end_it_with_64() {
    let output = tracebuffer(&["receiver", "--max-bytes=32mib", "--workers=0"])
        .env("TRACEBUFFER_HEADERS", "hunter2")
        .env("TRACEBUFFER_OVERFLOW", "explode")
        .env("TRACEBUFFER_MAX_AGE", "")
        .env("TRACEBUFFER_PORT", "tcp://10.0.0.1:4317")
        .output()
        .unwrap();

    assert_eq!(output.status.code(), USAGE);
    assert!(output.stdout.is_empty());
    let expected = "\
tracebuffer cannot start, these settings are wrong:

  TRACEBUFFER_HEADERS   (not shown)  must be HTTP headers as name=value,name2=value2, values \
percent-encoded; entry 1 has no `=` between a name and a value
  --max-bytes           \"32mib\"      must be a size from 64Ki to 64Gi, such as 32Mi, 64MB or \
1048576; there is no unit \"mib\" (Ki, Mi, Gi, k, M or G, with or without B)
  TRACEBUFFER_OVERFLOW  \"explode\"    must be drop-oldest or reject
  --workers             \"0\"          must be a whole number from 1 to 64

`tracebuffer receiver --help` explains every setting.
";
    assert_eq!(stderr(&output), expected);
}

#[test]
fn a_variable_that_is_not_unicode_is_a_mistake_and_no_crash() {
    let output = tracebuffer(&["receiver"])
        .env("TRACEBUFFER_LINGER", OsString::from_vec(vec![0xff]))
        .output()
        .unwrap();

    assert_eq!(output.status.code(), USAGE);
    assert!(stderr(&output).contains("it is not valid UTF-8"), "{}", stderr(&output));
}

#[test]
fn a_destination_that_is_the_receiver_itself_is_refused() {
    let output = run(&["receiver", "--endpoint=http://localhost:4317"]);

    assert_eq!(output.status.code(), USAGE);
    assert!(stderr(&output).contains("must not be this receiver"), "{}", stderr(&output));
}

#[test]
fn manifests_are_injected_on_the_command_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("it can be written");
        path.to_string_lossy().into_owned()
    };
    let declared = file(
        "tracebuffer.json",
        r#"{"apiVersion": "tracebuffer.dev/v1alpha1", "kind": "TraceBuffer",
            "metadata": {"name": "default"}, "spec": {"destination": {"endpoint": "http://a:4317"}}}"#,
    );
    let pod = |inject: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations:\n    \
             tracebuffer.dev/inject: {inject}\nspec:\n  containers:\n  - name: web\n"
        )
    };
    let inject =
        |text: &str| run(&["inject", "-f", &file("pod.yaml", text), "--tracebuffer", &declared]);

    let injected = inject(&pod("\"true\""));
    assert_eq!(injected.status.code(), Some(0));
    assert!(stdout(&injected).contains("initContainers:"));
    assert_eq!(
        stderr(&injected),
        "tracebuffer inject: Pod web: injected the sidecar of TraceBuffer default/default\n"
    );

    let skipped = inject(&pod("other"));
    assert_eq!((skipped.status.code(), stdout(&skipped)), (Some(0), pod("other")));
    assert!(stderr(&skipped).contains("Pod web: no sidecar (TraceBufferNotFound): "));

    let wrong = inject(&pod("true"));
    assert_eq!((wrong.status.code(), stdout(&wrong)), (Some(1), String::new()));
    assert!(stderr(&wrong).contains("put the value in quotes"), "{}", stderr(&wrong));

    assert_eq!(run(&["inject"]).status.code(), USAGE);
}
