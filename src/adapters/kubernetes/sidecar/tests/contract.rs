//! The receiver parses the sidecar's environment into the settings of the spec.

use std::ffi::OsString;
use std::time::Duration;

use super::*;
use crate::adapters::messaging::destination::config::{Compression, Protocol};
use crate::bootstrap::receiver::settings::ReceiverSettings;
use crate::cli::Invocation;
use crate::domain::limits::OverflowPolicy;
use crate::domain::limits_text;

/// Returns the settings that a receiver reads when a kubelet starts the sidecar.
fn settings(changes: &Value) -> ReceiverSettings {
    let container = built(changes).container;
    let variables = container.env.unwrap();
    let value = |name: &str| {
        let variable = variables.iter().find(|variable| variable.name == name)?;
        Some(OsString::from(expanded(variable.value.as_ref()?)))
    };
    let arguments = ["tracebuffer".to_owned()].into_iter().chain(container.args.unwrap());
    match Invocation::parse(arguments.map(OsString::from), &value).unwrap() {
        Invocation::Receiver(settings) => settings,
        other => panic!("{other:?}"),
    }
}

/// Expands a value as a kubelet does, where every field of the pod is `field`.
fn expanded(value: &str) -> String {
    let fields = value.split("$(TRACEBUFFER_FIELD_");
    let rest = |part: &str| part.split_once(')').map_or(part.to_owned(), |(_, rest)| rest.into());
    let mut parts =
        fields.enumerate().map(|(n, part)| if n == 0 { part.into() } else { rest(part) });
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |all, part: String| all + "field" + &part).replace("$$", "$")
}

#[test]
fn a_minimal_spec_gives_the_receivers_defaults_with_json_logs_and_an_open_admin_port() {
    let settings = settings(&json!({}));

    let alone = ["tracebuffer", "receiver", "--endpoint=http://collector.observability:4317"];
    let arguments = alone.iter().chain(&[
        "--log-format=json",
        "--admin-addr=0.0.0.0:9417,[::]:9417",
        "--limits-file=/etc/tracebuffer/pod/limits",
    ]);
    let parsed = Invocation::parse(arguments.map(OsString::from), &|_| None).unwrap();
    assert_eq!(parsed, Invocation::Receiver(settings));
}

#[test]
fn every_field_reaches_the_receiver() {
    let settings = settings(&json!({
        "buffer": {
            "maxSpans": 1_234, "maxBytes": "1.5Mi", "maxAge": "1h30m", "overflow": "Reject",
        },
        "destination": {
            "endpoint": "https://traces.example/key$(A)$$/v1/traces",
            "protocol": "HTTPProtobuf",
            "compression": "Zstd",
            "headers": [
                { "name": "X-Tenant", "value": "a,b=c $(d)$$ 100%" },
                { "name": "Authorization", "prefix": "Bearer ", "optional": true, "valueFrom": {
                    "secretKeyRef": { "name": "token", "key": "t" } } },
                { "name": "X-Node", "prefix": "n,", "valueFrom": {
                    "fieldRef": { "fieldPath": "spec.nodeName" } } },
            ],
            "tls": {
                "ca": { "configMapKeyRef": { "name": "ca", "key": "ca.pem" } },
                "clientCertificateSecretRef": { "name": "client" },
                "trustSystemRoots": true,
                "serverName": "traces.internal",
            },
            "timeout": "3s",
            "connectionMaxAge": "90s",
            "proxy": { "url": "https://proxy.corp.example:3128/" },
            "batch": { "maxSpans": 77, "maxBytes": "100k", "linger": "0s" },
            "concurrency": 4,
        },
        "receiver": {
            "grpcPort": 14317, "httpPort": 14318, "adminPort": 19417, "maxRequestBytes": "1Mi",
            "maxHeadBytes": "16Ki",
        },
        "drainTimeout": "0s",
    }));

    let destination = settings.destination.unwrap();
    assert!(destination.endpoint.tls);
    assert_eq!(destination.endpoint.path, "/key$(A)$$/v1/traces");
    assert_eq!(destination.protocol, Protocol::Http);
    assert_eq!(destination.compression, Compression::Zstd);
    let values: Vec<_> =
        destination.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    assert_eq!(values, [("x-tenant", "a,b=c $(d)$$ 100%"), ("x-node", "n,field")]);
    let (name, file) = destination.header_files.iter().next().unwrap();
    assert_eq!(name.as_str(), "authorization");
    assert_eq!(file.to_str(), Some("/etc/tracebuffer/destination/headers/authorization"));
    assert_eq!(file.value(b"abc").unwrap(), "Bearer abc");
    assert!(file.is_optional());
    let ca = destination.ca_file.unwrap();
    assert_eq!(ca.path.to_str(), Some("/etc/tracebuffer/destination/ca.crt"));
    assert!(ca.with_system_roots);
    assert_eq!(destination.server_name.unwrap().to_str(), "traces.internal");
    assert!(destination.client_certificate_file.is_some() && destination.client_key_file.is_some());
    assert_eq!(destination.timeout, Duration::from_secs(3));
    assert_eq!(destination.connection_max_age, Some(Duration::from_secs(90)));
    assert_eq!(destination.proxy.unwrap().to_string(), "https://proxy.corp.example:3128");
    assert_eq!(settings.limits.max_spans.get(), 1_234);
    assert_eq!(settings.limits.max_bytes.get(), 1_572_864);
    assert_eq!(settings.limits.max_age, Some(Duration::from_mins(90)));
    assert_eq!(settings.overflow_policy, OverflowPolicy::Reject);
    assert_eq!(settings.batch_limits.max_spans, 77);
    assert_eq!(settings.batch_limits.max_bytes, 100_000);
    assert_eq!(settings.batch_limits.linger, Duration::ZERO);
    assert_eq!(settings.concurrency.get(), 4);
    let shown = |addresses: &[std::net::SocketAddr]| {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(shown(&settings.listen.grpc), ["127.0.0.1:14317", "[::1]:14317"]);
    assert_eq!(shown(&settings.listen.http), ["127.0.0.1:14318", "[::1]:14318"]);
    assert_eq!(shown(&settings.listen.admin), ["0.0.0.0:19417", "[::]:19417"]);
    assert_eq!(settings.listen.max_request_bytes, 1 << 20);
    assert_eq!(settings.listen.max_head_bytes, 16 << 10);
    assert_eq!(settings.drain_timeout, Duration::ZERO);
}

#[test]
fn the_receiver_accepts_both_ends_of_every_bound() {
    let ends = [
        json!({ "buffer": { "maxSpans": 1, "maxBytes": "64Ki", "maxAge": "100ms" } }),
        json!({ "buffer": { "maxSpans": 1_000_000_000, "maxBytes": "64Gi", "maxAge": "720h" } }),
        json!({ "destination": { "timeout": "100ms", "concurrency": 1, "connectionMaxAge": "0s",
            "batch": { "maxSpans": 1, "maxBytes": "1Ki", "linger": "0s" } } }),
        json!({ "destination": { "timeout": "5m", "concurrency": 64, "connectionMaxAge": "24h",
            "batch": { "maxSpans": 1_000_000, "maxBytes": "64Mi", "linger": "1m" } } }),
        json!({ "receiver": { "grpcPort": 1, "httpPort": 2, "adminPort": 65_535,
            "maxRequestBytes": "1Ki", "maxHeadBytes": "4Ki" } }),
        json!({ "buffer": { "maxBytes": "64Mi" },
            "receiver": { "maxRequestBytes": "64Mi", "maxHeadBytes": "64Ki" } }),
        json!({ "drainTimeout": "1h" }),
    ];
    for changes in ends {
        settings(&changes);
    }
}

#[test]
fn the_default_request_limit_is_capped_at_the_size_of_a_small_buffer() {
    let settings = settings(&json!({ "buffer": { "maxBytes": "1Mi" } }));

    assert_eq!(settings.listen.max_request_bytes, 1 << 20);
}

#[test]
fn the_limits_file_of_a_sidecar_is_read_back_unchanged() {
    let boot = settings(&json!({ "buffer": { "maxAge": "1h" } })).limits;
    for changes in [
        json!({ "buffer": { "maxSpans": 7, "maxBytes": "1.5Mi", "maxAge": "90s" } }),
        json!({ "buffer": { "maxSpans": 7 } }),
    ] {
        let text = limits_text::to_file(&built(&changes).limits);

        let read = limits_text::parse(&text, boot).unwrap();

        assert_eq!(read.limits, settings(&changes).limits, "{text}");
        assert!(read.unknown_names.is_empty(), "{text}");
    }
}
