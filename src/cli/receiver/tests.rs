//! Parsing of arguments and environment variables to settings or errors.

mod every_setting;
mod proxies;

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use tracing::Level;

use super::table::ALL;
use crate::adapters::messaging::destination::config::{
    Compression, DestinationSettings, Endpoint, Protocol,
};
use crate::adapters::messaging::notation::headers::{HeaderFiles, Headers};
use crate::adapters::server::PortLimits;
use crate::adapters::telemetry::logging::{LogFormat, LogSettings};
use crate::bootstrap::receiver::settings::{ListenSettings, ReceiverSettings};
use crate::cli::{CliError, Invocation, SettingErrors, generated};
use crate::domain::limits::{BatchLimits, BufferLimits, OverflowPolicy};

fn parse_os(
    flags: Vec<OsString>,
    variables: &[(&str, OsString)],
) -> Result<ReceiverSettings, CliError> {
    let variables: HashMap<_, _> = variables.iter().cloned().collect();
    let arguments = ["tracebuffer".into(), "receiver".into()].into_iter().chain(flags);
    match Invocation::parse(arguments, &|name| variables.get(name).cloned())? {
        Invocation::Receiver(settings) => Ok(settings),
        other => panic!("{other:?}"),
    }
}

fn parse(flags: &[&str], variables: &[(&str, &str)]) -> Result<ReceiverSettings, CliError> {
    let flags = flags.iter().map(OsString::from).collect();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.into())).collect();
    parse_os(flags, &variables)
}

pub(super) fn settings(flags: &[&str], variables: &[(&str, &str)]) -> ReceiverSettings {
    parse(flags, variables).unwrap()
}

fn errors_of(result: Result<ReceiverSettings, CliError>) -> Vec<String> {
    match result.unwrap_err() {
        CliError::Configuration(SettingErrors { errors: list, .. }) => {
            list.iter().map(|m| format!("{} {} {}", m.origin, m.found, m.message)).collect()
        }
        CliError::Usage(error) => panic!("{error}"),
    }
}

pub(super) fn errors(flags: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    errors_of(parse(flags, variables))
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn number(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

#[test]
fn without_settings_the_defaults_apply() {
    assert_eq!(
        settings(&[], &[]),
        ReceiverSettings {
            destination: None,
            limits: BufferLimits {
                max_spans: NonZeroU64::new(50_000).unwrap(),
                max_bytes: NonZeroU64::new(32 << 20).unwrap(),
                max_age: None,
            },
            overflow_policy: OverflowPolicy::DropOldest,
            limits_file: None,
            batch_limits: BatchLimits {
                max_spans: 8_192,
                max_bytes: 3_670_016,
                max_records: usize::MAX,
                linger: Duration::from_millis(200),
            },
            concurrency: number(1),
            listen: ListenSettings {
                grpc: addresses(&["127.0.0.1:4317", "[::1]:4317"]),
                http: addresses(&["127.0.0.1:4318", "[::1]:4318"]),
                admin: addresses(&["127.0.0.1:9417"]),
                max_request_bytes: 4 << 20,
                max_head_bytes: PortLimits::OTLP.max_head_bytes,
                cors_allowed_origins: None,
            },
            termination_message_file: "/dev/termination-log".into(),
            drain_timeout: Duration::from_secs(25),
            grace_period: None,
            log: LogSettings { format: LogFormat::Text, level: Level::INFO },
            workers: number(1),
        }
    );
}

#[test]
fn an_endpoint_alone_gives_a_destination_with_defaults() {
    let destination = settings(&["--endpoint", "http://collector"], &[]).destination;

    assert_eq!(
        destination,
        Some(Box::new(DestinationSettings {
            endpoint: Endpoint {
                tls: false,
                host: "collector".into(),
                port: 4317,
                path: String::new()
            },
            protocol: Protocol::Grpc,
            compression: Compression::None,
            headers: Headers::default(),
            headers_file: None,
            header_files: HeaderFiles::default(),
            ca_file: None,
            server_name: None,
            client_certificate_file: None,
            client_key_file: None,
            timeout: Duration::from_secs(10),
            connection_max_age: Some(Duration::from_mins(5)),
            proxy: None,
        }))
    );
}

#[test]
fn a_flag_wins_over_a_variable() {
    let settings = settings(&["--workers=3"], &[("TRACEBUFFER_WORKERS", "nonsense")]);

    assert_eq!(settings.workers, number(3));
}

#[test]
fn an_empty_variable_or_flag_means_unset() {
    for blank in ["", "  "] {
        let variables = ALL.iter().map(|s| (s.env_var(), OsString::from(blank)));
        let variables: Vec<_> = variables.collect();
        let variables: Vec<_> = variables.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        assert_eq!(parse_os(vec![], &variables).unwrap(), settings(&[], &[]));
    }
    let reset = settings(&["--endpoint="], &[("TRACEBUFFER_ENDPOINT", "http://collector")]);
    assert_eq!(reset.destination, None);
}

#[test]
fn white_space_around_a_value_is_ignored() {
    let settings = settings(&[], &[("TRACEBUFFER_OVERFLOW", " reject\n")]);

    assert_eq!(settings.overflow_policy, OverflowPolicy::Reject);
}

#[test]
fn the_example_file_sets_every_variable_to_its_default() {
    let text = generated::env_example();
    let variables: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .collect();

    assert_eq!(variables.len(), ALL.len());
    assert_eq!(settings(&[], &variables), settings(&[], &[]));
}

#[test]
fn every_error_is_reported_at_once_in_the_order_of_the_table() {
    let can_be_wrong: Vec<_> = ALL.iter().filter(|s| !s.name().ends_with("_FILE")).collect();
    let variables: Vec<_> = can_be_wrong.iter().map(|s| (s.env_var(), "all wrong!")).collect();
    let variables: Vec<_> = variables.iter().map(|(n, v)| (n.as_str(), *v)).collect();

    let found = errors(&[], &variables);

    let named: Vec<_> = found.iter().filter_map(|m| m.split(' ').next()).collect();
    let expected: Vec<_> = variables.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, expected);
}

#[test]
fn an_error_names_origin_value_and_allowed_values() {
    let found = errors(
        &["--max-bytes", "32mib"],
        &[("TRACEBUFFER_MAX_SPANS", "0"), ("TRACEBUFFER_LINGER", "-1s")],
    );

    assert_eq!(
        found,
        [
            "TRACEBUFFER_MAX_SPANS \"0\" must be a whole number from 1 to 1000000000",
            "--max-bytes \"32mib\" must be a size from 64Ki to 64Gi, such as 32Mi, 64MB or 1048576; \
         there is no unit \"mib\" (Ki, Mi, Gi, k, M or G, with or without B)",
            "TRACEBUFFER_LINGER \"-1s\" must be a duration from 0s to 1m; it is negative",
        ]
    );
}

#[test]
fn a_negative_number_after_a_flag_is_its_value() {
    let found = errors(&["--max-spans", "-5"], &[]);

    assert_eq!(found, ["--max-spans \"-5\" must be a whole number from 1 to 1000000000"]);
}

#[test]
fn a_value_that_is_not_unicode_is_an_error() {
    let bytes = OsString::from_vec(vec![b'/', 0xff]);
    let variables = [("TRACEBUFFER_CA_FILE", bytes.clone())];

    let of_variable = errors_of(parse_os(vec![], &variables));
    let of_flag = errors_of(parse_os(vec!["--workers".into(), bytes], &[]));

    assert_eq!(of_variable.len(), 1);
    assert!(
        of_variable[0].starts_with("TRACEBUFFER_CA_FILE \"/\u{fffd}\" must be a path; it is not")
    );
    assert_eq!(of_flag.len(), 1);
    assert!(of_flag[0].starts_with("--workers \"/\u{fffd}\" must be"));
}

#[test]
fn a_secret_is_shown_neither_in_an_error_nor_by_debug() {
    let flags = ["--headers", "hunter2", "--endpoint", "http://me:hunter2@collector"];
    let stop = parse(&flags, &[]).unwrap_err();
    let in_query = parse(&["--endpoint", "http://collector/?key=hunter2"], &[]).unwrap_err();
    let fine = settings(&["--headers", "key=hunter2", "--endpoint", "http://collector"], &[]);

    for text in [format!("{stop:?}"), format!("{in_query:?}"), format!("{fine:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(errors(&flags, &[])[1].starts_with("--headers (not shown) must be HTTP headers"));
}

#[test]
fn the_variables_of_a_kubernetes_service_are_ignored() {
    let variables = [
        ("TRACEBUFFER_PORT", "tcp://10.0.0.1:4317"),
        ("TRACEBUFFER_SERVICE_HOST", "10.0.0.1"),
        ("TRACEBUFFER_GRPC_PORT", "tcp://10.0.0.1:4317"),
    ];

    assert_eq!(settings(&[], &variables), settings(&[], &[]));
}

#[test]
fn an_unknown_flag_or_command_is_a_usage_error_that_shows_no_value() {
    for arguments in [
        vec!["receiver", "--header=hunter2"],
        vec!["receiver", "--headers", "authorization=Bearer", "hunter2"],
        vec!["receiver", "--headers=authorization=Bearer", "--workers=1", "hunter2", "--linger=1s"],
        vec!["recv"],
        vec![],
    ] {
        let arguments = ["tracebuffer"].into_iter().chain(arguments).map(OsString::from);
        let stop = Invocation::parse(arguments, &|_| None).unwrap_err();
        let CliError::Usage(error) = stop else { panic!("{stop:?}") };
        assert!(error.use_stderr());
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
