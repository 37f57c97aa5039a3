//! The command line, and the files that are generated from the table of settings.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use tracebuffer::cli::generated::{env_example, settings_table, skip_reasons_table};

const USAGE: Option<i32> = Some(64);

fn tracebuffer(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracebuffer"));
    // The only variable that coverage measurement needs.
    let kept = std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file));
    command.env_clear().envs(kept).args(arguments);
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
        let hint = "to update it, run `UPDATE=1 cargo test --test integration cli`";
        assert!(found == expected, "{file} differs from the table of settings; {hint}");
    }
}

/// Returns `document` with `table` between the markers `name`.
fn with_table(document: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = document.split_once(&begin).expect("the document has a table marker");
    let (_, after) = rest.split_once(&end).expect("the document has an end marker");
    format!("{before}{begin}\n{table}\n{end}{after}")
}

#[test]
fn the_committed_env_example_matches_the_table_of_settings() {
    check_file(".env.example", |_| env_example());
}

#[test]
fn the_committed_receiver_document_holds_the_table_of_settings() {
    check_file("docs/receiver.md", |found| with_table(found, "settings", &settings_table()));
}

#[test]
fn the_committed_operations_document_holds_every_reason_to_skip_a_pod() {
    let table = skip_reasons_table();
    check_file("docs/operations.md", |found| with_table(found, "skip reasons", &table));
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
fn without_a_command_the_error_points_to_the_help() {
    let output = run(&[]);

    assert_eq!(output.status.code(), USAGE);
    assert!(
        stderr(&output).contains("`tracebuffer --help` lists the subcommands"),
        "{}",
        stderr(&output)
    );
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
fn invalid_settings_are_listed_together_with_exit_code_64() {
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
tracebuffer cannot start because these settings are invalid:

  TRACEBUFFER_HEADERS   (not shown)  must be HTTP headers as name=value,name2=value2, values \
percent-encoded; entry 1 has no `=` between name and value
  --max-bytes           \"32mib\"      must be a size from 64Ki to 64Gi, such as 32Mi, 64MB or \
1048576; there is no unit \"mib\" (Ki, Mi, Gi, k, M or G, with or without B)
  TRACEBUFFER_OVERFLOW  \"explode\"    must be drop-oldest or reject
  --workers             \"0\"          must be a whole number from 1 to 64

Run `tracebuffer receiver --help` for a description of every setting.
";
    assert_eq!(stderr(&output), expected);
}

#[test]
fn a_variable_that_is_not_unicode_is_a_usage_error() {
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
    assert!(
        stderr(&output).contains("must not be the address of this receiver"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn as_a_kubectl_plugin_its_usage_names_kubectl() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let plugin = folder.path().join("kubectl-tracebuffer");
    symlink(env!("CARGO_BIN_EXE_tracebuffer"), &plugin).expect("a link can be made");
    for (arguments, usage) in [
        (&["check", "--help"][..], "Usage: kubectl tracebuffer check"),
        (&["explain", "--help"], "Usage: kubectl tracebuffer explain"),
        (&["--help"], "Usage: kubectl tracebuffer "),
    ] {
        let output = Command::new(&plugin).args(arguments).output().expect("it runs");

        assert!(stdout(&output).contains(usage), "{}", stdout(&output));
    }
    let output = run(&["check", "--help"]);
    assert!(stdout(&output).contains("Usage: tracebuffer check"), "{}", stdout(&output));
}

#[test]
fn invalid_arguments_of_explain_and_check_are_usage_errors() {
    for (arguments, why) in [
        (&["explain"][..], "required"),
        (&["explain", "pod"], "the name of the pod is missing"),
        (&["explain", "deployment", "a"], "only pods can be explained"),
        (&["explain", "deployment/a"], "only pods can be explained"),
        (&["explain", "pod", "../secrets"], "is not a valid pod name"),
        (&["explain", "pod/a", "-n", "A?"], "is not a valid namespace name"),
        (&["check", "-o", "xml"], "invalid value 'xml'"),
        (&["check", "--in-cluster", "--context=a"], "cannot be used with"),
    ] {
        let output = run(arguments);

        assert_eq!(output.status.code(), USAGE, "{arguments:?}");
        assert!(stderr(&output).contains(why), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn without_a_cluster_the_error_names_the_cause_and_the_exit_code_is_1() {
    for (arguments, why) in [
        (&["check", "--kubeconfig=/nonexistent"][..], "/nonexistent"),
        (&["check", "--in-cluster"], "this command does not run in a pod"),
        (&["explain", "pod", "a", "--context=a"], "KUBECONFIG"),
    ] {
        let output = tracebuffer(arguments).env("HOME", "/nonexistent").output().expect("it runs");

        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(why), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
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
    assert!(stderr(&wrong).contains("quote the value"), "{}", stderr(&wrong));

    assert_eq!(run(&["inject"]).status.code(), USAGE);
}
