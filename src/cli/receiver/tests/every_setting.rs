//! Every setting of the table, set to a value other than its default.

use std::num::NonZeroU64;
use std::time::Duration;

use tracing::Level;

use super::super::table::ALL;
use super::{addresses, number, settings};
use crate::adapters::messaging::cors::AllowedOrigins;
use crate::adapters::messaging::destination::config::{
    CaFile, Compression, DestinationSettings, Endpoint, Protocol, ServerName,
};
use crate::adapters::messaging::notation::headers::{
    HeaderFiles, parse_header_files, parse_header_list, parse_header_names,
};
use crate::adapters::telemetry::logging::{LogFormat, LogSettings};
use crate::bootstrap::receiver::settings::{ListenSettings, ReceiverSettings};
use crate::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};

/// For each setting a value that is not its default and does not conflict with others.
const OTHERS: [(&str, &str); 37] = [
    ("ENDPOINT", "https://traces.example:443/in"),
    ("PROTOCOL", "http/protobuf"),
    ("COMPRESSION", "zstd"),
    ("HEADERS", "authorization=Bearer%20x"),
    ("HEADERS_FILE", "/run/headers"),
    ("HEADER_VALUE_FILES", "x-key=/run/key"),
    ("HEADER_VALUE_PREFIXES", "x-key=v1%20"),
    ("OPTIONAL_HEADERS", "x-key"),
    ("CA_FILE", "/run/ca.pem"),
    ("TRUST_SYSTEM_ROOTS", "true"),
    ("TLS_SERVER_NAME", "inner.example"),
    ("CLIENT_CERTIFICATE_FILE", "/run/client.pem"),
    ("CLIENT_KEY_FILE", "/run/client.key"),
    ("TIMEOUT", "3s"),
    ("CONNECTION_MAX_AGE", "1m"),
    ("PROXY", "http://user:x@proxy:3128"),
    ("MAX_SPANS", "7"),
    ("MAX_BYTES", "64MB"),
    ("MAX_AGE", "1h30m"),
    ("OVERFLOW", "reject"),
    ("LIMITS_FILE", "/run/limits"),
    ("BATCH_MAX_SPANS", "5"),
    ("BATCH_MAX_BYTES", "1Mi"),
    ("LINGER", "0s"),
    ("CONCURRENCY", "4"),
    ("GRPC_ADDR", "0.0.0.0:5317"),
    ("HTTP_ADDR", "[::]:5318"),
    ("ADMIN_ADDR", "0.0.0.0:9000,[::1]:9000"),
    ("MAX_REQUEST_BYTES", "2Mi"),
    ("MAX_HEAD_BYTES", "16Ki"),
    ("CORS_ALLOWED_ORIGINS", "*"),
    ("DRAIN_TIMEOUT", "0s"),
    ("TERMINATION_GRACE_PERIOD", "40s"),
    ("TERMINATION_MESSAGE_FILE", "/run/message"),
    ("WORKERS", "2"),
    ("LOG_FORMAT", "json"),
    ("LOG_LEVEL", "debug"),
];

fn header_files() -> HeaderFiles {
    let mut files = parse_header_files("x-key=/run/key").unwrap();
    files.add_prefixes(&parse_header_list("x-key=v1%20").unwrap()).unwrap();
    files.make_optional(&parse_header_names("x-key").unwrap()).unwrap();
    files
}

fn other_settings() -> ReceiverSettings {
    ReceiverSettings {
        destination: Some(Box::new(DestinationSettings {
            endpoint: Endpoint {
                tls: true,
                host: "traces.example".into(),
                port: 443,
                path: "/in".into(),
            },
            protocol: Protocol::Http,
            compression: Compression::Zstd,
            headers: parse_header_list("authorization=Bearer x").unwrap(),
            headers_file: Some("/run/headers".into()),
            header_files: header_files(),
            ca_file: Some(CaFile { path: "/run/ca.pem".into(), with_system_roots: true }),
            server_name: Some(ServerName::try_from("inner.example").unwrap()),
            client_certificate_file: Some("/run/client.pem".into()),
            client_key_file: Some("/run/client.key".into()),
            timeout: Duration::from_secs(3),
            connection_max_age: Some(Duration::from_mins(1)),
            proxy: Some("http://user:x@proxy:3128".parse().unwrap()),
        })),
        limits: BufferLimits {
            max_spans: NonZeroU64::new(7).unwrap(),
            max_bytes: NonZeroU64::new(64_000_000).unwrap(),
            max_age: Some(Duration::from_mins(90)),
        },
        overflow_policy: OverflowPolicy::Reject,
        limits_file: Some("/run/limits".into()),
        batch_limits: BatchLimits {
            max_spans: 5,
            max_bytes: 1 << 20,
            max_records: usize::MAX,
            linger: Duration::ZERO,
        },
        concurrency: number(4),
        listen: ListenSettings {
            grpc: addresses(&["0.0.0.0:5317"]),
            http: addresses(&["[::]:5318"]),
            admin: addresses(&["0.0.0.0:9000", "[::1]:9000"]),
            max_request_bytes: 2 << 20,
            max_head_bytes: 16 << 10,
            cors_allowed_origins: Some(AllowedOrigins::Any),
        },
        drain_timeout: Duration::ZERO,
        grace_period: Some(Duration::from_secs(40)),
        termination_message_file: "/run/message".into(),
        log: LogSettings { format: LogFormat::Json, level: Level::DEBUG },
        workers: number(2),
    }
}

#[test]
fn every_setting_can_be_set_by_its_variable() {
    let variables = OTHERS.map(|(name, value)| (format!("TRACEBUFFER_{name}"), value));
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();

    assert_eq!(settings(&[], &variables), other_settings());
}

#[test]
fn every_setting_can_be_set_by_its_flag() {
    let flags: Vec<_> = OTHERS
        .iter()
        .map(|(name, value)| format!("--{}={value}", name.to_lowercase().replace('_', "-")))
        .collect();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();

    assert_eq!(settings(&flags, &[]), other_settings());
}

#[test]
fn every_setting_of_the_table_is_tested() {
    let known: Vec<_> = ALL.iter().map(|setting| setting.name()).collect();

    assert_eq!(known, OTHERS.map(|(name, _)| name));
}
