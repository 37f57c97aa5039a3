//! Errors across settings. Single values are tested in `cli::settings::kinds`.

use super::super::tests::{errors, settings};

const TLS: &str = "--endpoint=https://collector";

#[test]
fn a_client_certificate_without_a_key_names_the_key() {
    assert_eq!(
        errors(&[TLS, "--client-certificate-file=/c"], &[]),
        ["TRACEBUFFER_CLIENT_KEY_FILE unset must be set with CLIENT_CERTIFICATE_FILE"]
    );
}

#[test]
fn a_client_key_without_a_certificate_names_the_certificate() {
    assert_eq!(
        errors(&[TLS, "--client-key-file=/k"], &[]),
        ["TRACEBUFFER_CLIENT_CERTIFICATE_FILE unset must be set with CLIENT_KEY_FILE"]
    );
}

#[test]
fn a_client_certificate_with_its_key_is_accepted() {
    let flags = [TLS, "--client-certificate-file=/c", "--client-key-file=/k"];

    assert!(settings(&flags, &[]).destination.is_some());
}

#[test]
fn each_setting_of_tls_is_refused_for_an_unencrypted_endpoint() {
    let flags = [
        "--endpoint=http://collector",
        "--ca-file=/a",
        "--trust-system-roots=true",
        "--tls-server-name=traces.example",
        "--client-certificate-file=/c",
        "--client-key-file=/k",
    ];

    let why = "must be unset unless ENDPOINT begins with https://";
    assert_eq!(
        errors(&flags, &[]),
        [
            format!("--ca-file \"/a\" {why}"),
            format!("--trust-system-roots \"true\" {why}"),
            format!("--tls-server-name \"traces.example\" {why}"),
            format!("--client-certificate-file \"/c\" {why}"),
            format!("--client-key-file \"/k\" {why}"),
        ]
    );
}

#[test]
fn public_authorities_are_trusted_unless_a_file_replaces_them() {
    let trusted = |flags: &[&str]| {
        let destination = settings(&[&[TLS], flags].concat(), &[]).destination.unwrap();
        destination.ca_file.map(|file| file.with_system_roots)
    };

    assert_eq!(trusted(&[]), None);
    assert_eq!(trusted(&["--trust-system-roots=true"]), None);
    assert_eq!(trusted(&["--ca-file=/a"]), Some(false));
    assert_eq!(trusted(&["--ca-file=/a", "--trust-system-roots=false"]), Some(false));
    assert_eq!(trusted(&["--ca-file=/a", "--trust-system-roots=true"]), Some(true));
}

#[test]
fn a_destination_without_trusted_authorities_is_refused() {
    assert_eq!(
        errors(&[TLS, "--trust-system-roots=false"], &[]),
        ["--trust-system-roots \"false\" must not be false unless CA_FILE is set: \
         no certificate would be trusted"]
    );
}

#[test]
fn a_server_name_is_a_dns_name_or_an_ip_address() {
    for name in ["traces.example", "10.0.0.1", "fd00::1"] {
        let settings = settings(&[TLS, "--tls-server-name", name], &[]);
        assert_eq!(settings.destination.unwrap().server_name.unwrap().to_str(), name);
    }
    for name in ["https://traces.example", "traces.example:443", "*.example", "[fd00::1]"] {
        assert_eq!(
            errors(&[TLS, "--tls-server-name", name], &[]),
            [format!(
                "--tls-server-name {name:?} must be a DNS name or an IP address, such as \
                 collector.example"
            )]
        );
    }
}

#[test]
fn a_prefix_and_optional_need_a_file_of_their_header() {
    let flags = [
        "--header-value-files=x-key=/k",
        "--header-value-prefixes=X-Key=v1:,authorization=hunter2",
        "--optional-headers=x-key,x-tenant",
    ];

    let why = "must only name headers of HEADER_VALUE_FILES; no file is set for";
    assert_eq!(
        errors(&flags, &[]),
        [
            format!("--header-value-prefixes (not shown) {why} authorization"),
            format!("--optional-headers \"x-key,x-tenant\" {why} x-tenant"),
        ]
    );
}

#[test]
fn invalid_header_files_cause_no_error_about_prefixes_or_optional_headers() {
    let flags = ["--header-value-files=x", "--header-value-prefixes=a=b", "--optional-headers=a"];

    let found = errors(&flags, &[]);

    assert!(found.len() == 1 && found[0].starts_with("--header-value-files"), "{found:?}");
}

#[test]
fn a_grpc_endpoint_with_a_path_is_reported_with_other_errors() {
    let found = errors(&["--endpoint=http://collector/v1/traces", "--ca-file=/a"], &[]);

    let why = "must not have a path with protocol grpc; a path is allowed with protocol http";
    assert_eq!(
        found,
        [
            format!("--endpoint \"http://collector/v1/traces\" {why}"),
            "--ca-file \"/a\" must be unset unless ENDPOINT begins with https://".into(),
        ]
    );
}

#[test]
fn a_destination_that_is_this_receiver_is_refused() {
    for endpoint in [
        "http://localhost",
        "http://LOCALHOST.:4317",
        "http://pod.localhost:4318",
        "http://127.0.0.1:4317",
        "http://127.8.8.8:4318",
        "http://0.0.0.0:4317",
        "http://[::1]:4317",
        "https://[::]:4318",
        "http://[::ffff:127.0.0.1]:4317",
    ] {
        let found = errors(&["--endpoint", endpoint], &[]);
        let start =
            format!("--endpoint \"{endpoint}\" must not be the address of this receiver; see ");
        assert!(found.len() == 1 && found[0].starts_with(&start), "{found:?}");
    }
}

#[test]
fn a_destination_that_is_this_receiver_is_reported_with_other_errors() {
    let flags =
        ["--endpoint=http://[::1]:9", "--http-addr=[::1]:9", "--grpc-addr=x", "--timeout=x"];

    let found = errors(&flags, &[]);

    let named: Vec<_> = found.iter().filter_map(|m| m.split(' ').next()).collect();
    assert_eq!(named, ["--endpoint", "--timeout", "--grpc-addr"]);
}

#[test]
fn a_destination_at_a_listen_address_is_refused() {
    let flags = ["--endpoint=http://10.0.0.1:5000", "--http-addr=10.0.0.1:5000"];

    assert_eq!(
        errors(&flags, &[]),
        [
            "--endpoint \"http://10.0.0.1:5000\" must not be the address of this receiver; see HTTP_ADDR"
        ]
    );
}

#[test]
fn a_destination_on_another_port_or_host_is_accepted() {
    for endpoint in [
        "http://localhost:14317",
        "http://127.0.0.1:9999",
        "http://10.0.0.1:4317",
        "http://localhost.example:4317",
        "http://notlocalhost:4317",
    ] {
        assert!(settings(&["--endpoint", endpoint], &[]).destination.is_some(), "{endpoint}");
    }
}

#[test]
fn a_port_in_two_settings_is_an_error_of_the_second() {
    assert_eq!(
        errors(&["--admin-addr=10.0.0.1:4318"], &[]),
        [
            "--admin-addr \"10.0.0.1:4318\" must not use a port twice; HTTP_ADDR contains 127.0.0.1:4318"
        ]
    );
    assert_eq!(
        errors(&[], &[("TRACEBUFFER_GRPC_ADDR", "0.0.0.0:4318")]),
        [
            "TRACEBUFFER_HTTP_ADDR \"127.0.0.1:4318,[::1]:4318\" (default) must not use a port twice; \
         GRPC_ADDR contains 0.0.0.0:4318"
        ]
    );
}

#[test]
fn addresses_of_one_setting_that_overlap_are_refused() {
    for list in ["127.0.0.1:1,127.0.0.1:1", "0.0.0.0:1,127.0.0.1:1", "[::1]:1,[::]:1"] {
        let found = errors(&["--grpc-addr", list], &[]);
        assert!(found.len() == 1 && found[0].contains("must not use a port twice"), "{found:?}");
    }
}

#[test]
fn listeners_may_share_a_host_port_zero_and_a_port_across_address_families() {
    for list in ["127.0.0.1:1,127.0.0.1:2", "0.0.0.0:1,[::]:1", "127.0.0.1:0,127.0.0.1:0"] {
        assert_eq!(settings(&["--grpc-addr", list], &[]).listen.grpc.len(), 2);
    }
    let flags = ["--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0"];
    assert_eq!(settings(&flags, &[]).listen.admin.len(), 1);
}

#[test]
fn the_default_request_limit_is_lowered_to_a_smaller_buffer() {
    let settings = settings(&["--max-bytes=1Mi"], &[]);

    assert_eq!(settings.listen.max_request_bytes, 1 << 20);
}

#[test]
fn an_explicit_request_limit_above_the_buffer_is_refused() {
    assert_eq!(
        errors(&["--max-bytes=1Mi", "--max-request-bytes=2Mi"], &[]),
        ["--max-request-bytes \"2Mi\" must be at most MAX_BYTES, which is 1Mi"]
    );
    let equal = settings(&["--max-bytes=1Mi", "--max-request-bytes=1Mi"], &[]);
    assert_eq!(equal.listen.max_request_bytes, 1 << 20);
}

#[test]
fn a_head_limit_is_from_4_to_64_kib() {
    for (size, bytes) in [("4Ki", 4 << 10), ("64Ki", 64 << 10)] {
        assert_eq!(settings(&["--max-head-bytes", size], &[]).listen.max_head_bytes, bytes);
    }
    for size in ["4095", "65537"] {
        assert_eq!(
            errors(&["--max-head-bytes", size], &[]),
            [format!(
                "--max-head-bytes {size:?} must be a size from 4Ki to 64Ki, such as 16Ki, 16kB or \
                 16384"
            )]
        );
    }
}
