use std::os::unix::fs::symlink;

use http::HeaderName;
use tempfile::TempDir;

use super::*;
use crate::adapters::messaging::notation::headers::{parse_header_files, parse_header_list};

fn names(headers: &Headers) -> Vec<&str> {
    headers.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_header_file_is_parsed_again_after_it_was_rewritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("headers");
    std::fs::write(&path, "a: 1").unwrap();
    let file = CachedHeaders::new(path.clone());
    assert_eq!(names(&file.current().unwrap()), ["a"]);

    std::fs::write(&path, "bb: 2").unwrap();

    assert_eq!(names(&file.current().unwrap()), ["bb"]);
}

#[test]
fn a_header_file_replaced_behind_a_symlink_is_parsed_again() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("old"), "a: 1").unwrap();
    std::fs::write(at("new"), "b: 2").unwrap();
    symlink(at("old"), at("headers")).unwrap();
    let file = CachedHeaders::new(at("headers"));
    assert_eq!(names(&file.current().unwrap()), ["a"]);

    symlink(at("new"), at("link")).unwrap();
    std::fs::rename(at("link"), at("headers")).unwrap();

    assert_eq!(names(&file.current().unwrap()), ["b"]);
}

#[test]
fn a_header_file_that_appears_late_is_picked_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("headers");
    let file = CachedHeaders::new(path.clone());
    let failure = file.current().unwrap_err();
    assert_eq!(failure.code, "FILE");
    assert!(failure.message.contains(path.to_str().unwrap()), "{}", failure.message);
    assert!(failure.message.contains("No such file"), "{}", failure.message);

    std::fs::write(&path, "a: 1").unwrap();

    assert_eq!(names(&file.current().unwrap()), ["a"]);
}

#[test]
fn a_header_file_that_disappears_is_a_failure_and_its_old_value_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("headers");
    std::fs::write(&path, "a: 1").unwrap();
    let file = CachedHeaders::new(path.clone());
    file.current().unwrap();

    std::fs::remove_file(&path).unwrap();

    assert_eq!(file.current().unwrap_err().code, "FILE");
}

#[test]
fn a_broken_header_file_is_described_and_never_quoted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("headers");
    for content in [&b"hunter2"[..], b"hunter2\xff: x"] {
        std::fs::write(&path, content).unwrap();

        let failure = CachedHeaders::new(path.clone()).current().unwrap_err();

        assert!(!failure.message.contains("hunter2"), "{}", failure.message);
        assert!(failure.message.contains("headers"), "{}", failure.message);
    }
}

/// A path for the file `authorization`, which does not exist yet.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("authorization");
    (directory, path)
}

/// A file with the value of the header `authorization`.
fn value_file(path: &Path, prefix: &str, is_optional: bool) -> CachedHeaderValue {
    let optional = is_optional.then_some(HeaderName::from_static("authorization"));
    let mut files = parse_header_files(&format!("authorization={}", path.display())).unwrap();
    files.add_prefixes(&parse_header_list(prefix).unwrap()).unwrap();
    files.make_optional(optional.as_slice()).unwrap();
    CachedHeaderValue::new(files.iter().next().unwrap().1.clone())
}

#[test]
fn a_value_file_is_one_value_without_its_line_break_and_is_read_again() {
    let (_directory, path) = place();
    let file = value_file(&path, "", false);
    assert_eq!(file.current().unwrap_err().code, "FILE");

    std::fs::write(&path, "Bearer old\n").unwrap();
    let value = file.current().unwrap().unwrap();
    assert_eq!(value, "Bearer old");
    assert!(value.is_sensitive());

    std::fs::write(&path, "Bearer newer: a=b").unwrap();
    assert_eq!(file.current().unwrap().unwrap(), "Bearer newer: a=b");
}

#[test]
fn a_prefix_is_prepended_to_every_version_of_a_value() {
    let (_directory, path) = place();
    let file = value_file(&path, "authorization=Bearer%20", false);
    for token in ["old", "newer"] {
        std::fs::write(&path, format!("{token}\n")).unwrap();

        let value = file.current().unwrap().unwrap();

        assert_eq!(value, format!("Bearer {token}"));
        assert!(value.is_sensitive());
    }
}

#[test]
fn a_value_file_behind_a_replaced_directory_symlink_is_read_again() {
    // As with the kubelet, the file is a symlink into `..data`, itself a symlink that is replaced.
    let (directory, path) = place();
    let at = |name: &str| directory.path().join(name);
    let swap = |version: &str, value: &str| {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("authorization"), value).unwrap();
        symlink(version, at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    swap("..1", "old");
    symlink("..data/authorization", &path).unwrap();
    let file = value_file(&path, "", false);
    assert_eq!(file.current().unwrap().unwrap(), "old");

    swap("..2", "new");

    assert_eq!(file.current().unwrap().unwrap(), "new");
}

#[test]
fn an_optional_header_is_left_out_while_its_file_is_missing_or_empty() {
    let (_directory, path) = place();
    let file = value_file(&path, "authorization=Bearer%20", true);
    assert_eq!(file.current(), Ok(None));

    std::fs::write(&path, "token").unwrap();
    assert_eq!(file.current().unwrap().unwrap(), "Bearer token");

    for empty in ["", " \r\n"] {
        std::fs::write(&path, empty).unwrap();
        assert_eq!(file.current(), Ok(None));
    }

    std::fs::remove_file(&path).unwrap();
    assert_eq!(file.current(), Ok(None));
}

#[test]
fn an_optional_header_with_an_invalid_file_is_a_failure() {
    let (directory, path) = place();
    std::fs::write(&path, "hunter2\nhunter3").unwrap();

    for (path, why) in
        [(path.as_path(), "not printable ASCII"), (directory.path(), "not a regular file")]
    {
        let message = value_file(path, "", true).current().unwrap_err().message;

        assert!(message.contains(why), "{message}");
        assert!(!message.contains("hunter"), "{message}");
    }
}

#[test]
fn a_broken_value_file_is_described_and_never_quoted() {
    let (_directory, path) = place();
    for (content, why) in [
        (&b"hunter2\nhunter3"[..], "it has a value that is not printable ASCII"),
        (b" \n", "it has no value"),
        (b"", "it has no value"),
    ] {
        std::fs::write(&path, content).unwrap();

        let file = value_file(&path, "authorization=hunter4", false);
        let message = file.current().unwrap_err().message;

        assert!(!message.contains("hunter"), "{message}");
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        assert!(message.contains(why), "{message}");
    }
}
