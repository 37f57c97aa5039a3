//! Parsing of arguments and environment variables to settings or errors.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::bootstrap::controller::{CertificateSource, ControllerSettings, PullPolicy};
use crate::cli::{CliError, Invocation};

use super::table::ALL;

/// The settings without a default.
const REQUIRED: [(&str, &str); 3] = [
    ("TRACEBUFFER_NAMESPACE", "tracing"),
    ("TRACEBUFFER_POD_NAME", "tracebuffer-0"),
    ("TRACEBUFFER_SIDECAR_IMAGE", "registry.example/tracebuffer:1"),
];

fn parse(flags: &[&str], variables: &[(&str, &str)]) -> Result<ControllerSettings, String> {
    let arguments = ["tracebuffer", "controller"].iter().chain(flags).map(OsString::from);
    let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into());
    match Invocation::parse(arguments, &value) {
        Ok(Invocation::Controller(settings)) => Ok(settings),
        Ok(other) => panic!("{other:?}"),
        Err(CliError::Configuration(errors)) => Err(errors.to_string()),
        Err(CliError::Usage(error)) => panic!("{error}"),
    }
}

#[test]
fn three_settings_are_enough() {
    let settings = parse(&[], &REQUIRED).unwrap();

    assert_eq!(settings.namespace, "tracing");
    assert_eq!(settings.webhook.host, "tracebuffer-webhook.tracing.svc");
    assert_eq!(settings.webhook.certificates, CertificateSource::SelfManaged);
    assert_eq!(settings.webhook.certificate_ca_file, None);
    assert_eq!(settings.shutdown_delay, Duration::from_secs(10));
    assert!(!settings.verify_references);
}

#[test]
fn every_missing_setting_is_reported_at_once() {
    let text = parse(&[], &[]).unwrap_err();

    for (variable, _) in REQUIRED {
        assert!(text.contains(variable), "{text}");
    }
    assert!(
        text.ends_with("`tracebuffer controller --help` for a description of every setting.\n"),
        "{text}"
    );
}

#[test]
fn flags_win_over_variables() {
    let flags = ["--webhook-host", "a.b", "--sidecar-image-pull-policy", "Never"];

    let settings = parse(&flags, &REQUIRED).unwrap();

    assert_eq!(settings.webhook.host, "a.b");
    assert_eq!(settings.sidecar_pull_policy, Some(PullPolicy::Never));
}

#[test]
fn a_webhook_host_that_no_tls_client_could_verify_is_rejected() {
    let long_label = format!("{}.ns.svc", "a".repeat(64));
    let long_name = format!("{}svc", "abcd.".repeat(48));
    for host in [&*long_label, &*long_name, "webhook.1", "webhook.0x1f", "10.0.0.1", "a..b", "A.b"]
    {
        let error = parse(&["--webhook-host", host], &REQUIRED).unwrap_err();
        assert!(error.contains("--webhook-host"), "{error}");
    }

    let longest = format!("{}.ns.svc", "a".repeat(63));
    for host in [&*longest, "webhook.0x1g", "webhook", "webhook.ns.svc.cluster.local"] {
        let settings = parse(&["--webhook-host", host], &REQUIRED).unwrap();
        assert_eq!(settings.webhook.host, host);
    }
}

#[test]
fn a_namespace_is_a_dns_label() {
    for namespace in [&*"a".repeat(64), "a.b", "-a", "A"] {
        let error = parse(&[&*format!("--namespace={namespace}")], &REQUIRED).unwrap_err();
        assert!(error.contains("--namespace "), "{error}");
    }
}

#[test]
fn a_ca_file_needs_an_existing_secret() {
    let file = ["--certificate-ca-file", "/run/ca.crt"];
    for mode in ["self", "certManager"] {
        let error = parse(&[&file[..], &["--certificates", mode]].concat(), &REQUIRED).unwrap_err();
        assert!(error.contains("must be unset unless CERTIFICATES is existingSecret"), "{error}");
    }

    let flags = [&file[..], &["--certificates", "existingSecret"]].concat();
    let webhook = parse(&flags, &REQUIRED).unwrap().webhook;

    assert_eq!(webhook.certificates, CertificateSource::ExistingSecret);
    assert_eq!(webhook.certificate_ca_file, Some(PathBuf::from("/run/ca.crt")));
}

#[test]
fn no_variable_name_collides_with_those_of_a_kubernetes_service() {
    for setting in ALL {
        let name = setting.env_var();
        assert!(!name.ends_with("_PORT") && !name.contains("_PORT_"), "{name}");
        assert!(!name.contains("_SERVICE_"), "{name}");
    }
}
