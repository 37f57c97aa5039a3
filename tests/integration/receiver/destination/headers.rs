//! Headers with values from files, read for each request, over TLS.

use std::fs;
use std::path::Path;

use crate::support::pki::write;
use crate::support::tls_harness::{TlsHarness, assert_delivered, assert_unavailable};
use crate::support::volume::Volume;
use tracebuffer::adapters::messaging::destination::config::Protocol;
use tracebuffer::adapters::messaging::notation::headers::{
    HeaderFiles, parse_header_files, parse_header_list, parse_header_names,
};

const TOKEN: &str = "authorization";
const BEARER: &str = "authorization=Bearer%20";

/// One server of each protocol.
async fn harnesses() -> [TlsHarness; 2] {
    [
        TlsHarness::new(Protocol::Grpc, &["h2"], false).await,
        TlsHarness::new(Protocol::Http, &["http/1.1"], false).await,
    ]
}

/// The header `authorization` from the file at `path`, with or without a prefix.
fn token(path: &Path, prefixes: &str) -> HeaderFiles {
    let mut files = parse_header_files(&format!("{TOKEN}={}", path.display())).unwrap();
    files.add_prefixes(&parse_header_list(prefixes).unwrap()).unwrap();
    files
}

/// The same header, optional: requests are also sent without it.
fn optional_token(path: &Path) -> HeaderFiles {
    let mut files = token(path, BEARER);
    files.make_optional(&parse_header_names(TOKEN).unwrap()).unwrap();
    files
}

#[tokio::test]
async fn a_prefix_is_sent_before_the_value_of_a_file() {
    for mut harness in harnesses().await {
        let path = write(harness.files.path(), "token", "abc\n");
        harness.settings.header_files = token(&path, BEARER);

        assert_delivered(&harness.destination()).await;

        assert_eq!(harness.last_header(TOKEN).as_deref(), Some("Bearer abc"));
    }
}

#[tokio::test]
async fn a_renewed_token_is_in_the_next_request_on_the_same_connection() {
    for mut harness in harnesses().await {
        let path = write(harness.files.path(), "token", "first\n");
        harness.settings.header_files = token(&path, BEARER);
        let destination = harness.destination();
        assert_delivered(&destination).await;

        fs::write(&path, "second, longer\n").unwrap();
        assert_delivered(&destination).await;

        assert_eq!(harness.last_header(TOKEN).as_deref(), Some("Bearer second, longer"));
        assert_eq!(harness.server.connections(), 1);
    }
}

#[tokio::test]
async fn a_token_of_the_same_length_swapped_in_by_a_kubelet_is_in_the_next_request() {
    for mut harness in harnesses().await {
        let mut volume = Volume::new();
        volume.put(&[("token", "one")]);
        harness.settings.header_files = token(&volume.path("token"), "");
        let destination = harness.destination();
        for value in ["one", "two", "six"] {
            volume.put(&[("token", value)]);

            assert_delivered(&destination).await;

            assert_eq!(harness.last_header(TOKEN).as_deref(), Some(value));
        }
    }
}

#[tokio::test]
async fn without_an_optional_file_the_header_is_left_out_until_the_file_appears() {
    for mut harness in harnesses().await {
        let mut volume = Volume::new();
        harness.settings.header_files = optional_token(&volume.path("token"));
        let destination = harness.destination();

        assert_delivered(&destination).await;
        assert_eq!(harness.last_header(TOKEN), None);

        volume.put(&[("token", "late\n")]);
        assert_delivered(&destination).await;
        assert_eq!(harness.last_header(TOKEN).as_deref(), Some("Bearer late"));

        // The key was removed: the file is a dangling link.
        volume.put(&[]);
        assert_delivered(&destination).await;
        assert_eq!(harness.last_header(TOKEN), None);
    }
}

#[tokio::test]
async fn with_an_empty_optional_file_the_header_is_left_out() {
    for mut harness in harnesses().await {
        for empty in ["", " \r\n"] {
            let path = write(harness.files.path(), "token", empty);
            harness.settings.header_files = optional_token(&path);

            assert_delivered(&harness.destination()).await;

            assert_eq!(harness.last_header(TOKEN), None);
        }
    }
}

#[tokio::test]
async fn without_a_required_file_nothing_is_sent_until_it_holds_a_value() {
    for mut harness in harnesses().await {
        let path = harness.files.path().join("token");
        harness.settings.header_files = token(&path, BEARER);
        let destination = harness.destination();
        let start = format!("cannot use the file of a header's value {}: ", path.display());

        let missing = assert_unavailable(&destination).await;
        fs::write(&path, "\n").unwrap();
        let empty = assert_unavailable(&destination).await;

        assert_eq!((missing.code, empty.code), ("FILE", "FILE"));
        let why = format!("{start}No such file");
        assert!(missing.message.starts_with(&why), "{}", missing.message);
        let why = format!("{start}it has no value");
        assert!(empty.message.starts_with(&why), "{}", empty.message);
        assert_eq!(harness.server.connections(), 0);

        fs::write(&path, "abc").unwrap();
        assert_delivered(&destination).await;
        assert_eq!(harness.last_header(TOKEN).as_deref(), Some("Bearer abc"));
    }
}

#[tokio::test]
async fn an_optional_header_file_overrides_the_configured_header_once_it_exists() {
    for mut harness in harnesses().await {
        let path = harness.files.path().join("token");
        harness.settings.headers = parse_header_list("authorization=shared,x-tenant=blue").unwrap();
        harness.settings.header_files = optional_token(&path);
        let destination = harness.destination();

        assert_delivered(&destination).await;
        assert_eq!(harness.last_header(TOKEN).as_deref(), Some("shared"));

        fs::write(&path, "own").unwrap();
        assert_delivered(&destination).await;
        assert_eq!(harness.last_header(TOKEN).as_deref(), Some("Bearer own"));
        assert_eq!(harness.last_header("x-tenant").as_deref(), Some("blue"));
    }
}
