//! `tracebuffer controller`.

pub(super) mod table;

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::settings::errors::SettingErrors;
use super::settings::reader::{EnvLookup, ErrorReported, SettingsReader};
use super::settings::{flag, log};
use crate::bootstrap;
use crate::bootstrap::controller::{CertificateSource, ControllerSettings, WebhookSettings};
use table as t;

/// The name of the subcommand.
pub(super) const NAME: &str = "controller";

/// Describes the subcommand.
pub(super) fn command() -> Command {
    Command::new(NAME)
        .about("Runs the operator, which injects the sidecar into pods and maintains the status of TraceBuffers")
        .after_help("The Helm chart configures all settings. Each setting is a flag or an environment variable; a flag takes precedence.")
        .next_line_help(true)
        .args(t::ALL.iter().map(|setting| flag(*setting)))
}

/// Reads the settings from parsed flags and the environment.
///
/// # Errors
///
/// Every invalid setting.
pub(super) fn settings(
    flags: &ArgMatches,
    environment: EnvLookup<'_>,
) -> Result<ControllerSettings, SettingErrors> {
    let mut reader = SettingsReader::new(NAME, t::ALL, flags, environment);
    let settings = compose(&mut reader);
    reader.finish(settings)
}

/// Runs a controller until it stops.
pub(super) fn run(settings: ControllerSettings) -> ExitCode {
    bootstrap::controller::run(settings)
}

fn compose(reader: &mut SettingsReader<'_>) -> Result<ControllerSettings, ErrorReported> {
    let namespace = reader.read(&t::NAMESPACE);
    let pod_name = reader.read(&t::POD_NAME);
    let lease_name = reader.read(&t::LEASE_NAME);
    let verify_references = reader.read(&t::REFERENCES);
    let excluded_namespaces = reader.read(&t::EXCLUDED_NAMESPACES);
    let default_trace_buffer = reader.read(&t::DEFAULT_TRACE_BUFFER);
    let sidecar_image = reader.read(&t::SIDECAR_IMAGE);
    let sidecar_pull_policy = reader.read(&t::SIDECAR_IMAGE_PULL_POLICY);
    let webhook = webhook(reader, namespace.as_deref().ok());
    let admin = reader.read(&t::ADMIN_ADDR);
    let linger = reader.read(&t::LINGER_AFTER_STOP);
    let log = log::settings(reader);
    Ok(ControllerSettings {
        namespace: namespace?,
        pod_name: pod_name?,
        lease_name: lease_name?,
        verify_references: verify_references?,
        sidecar_image: sidecar_image?,
        sidecar_pull_policy: sidecar_pull_policy?,
        excluded_namespaces: excluded_namespaces?,
        default_trace_buffer: default_trace_buffer?,
        webhook: webhook?,
        admin: admin?,
        shutdown_delay: linger?,
        log: log?,
    })
}

fn webhook(
    reader: &mut SettingsReader<'_>,
    namespace: Option<&str>,
) -> Result<WebhookSettings, ErrorReported> {
    let configuration_name = reader.read(&t::WEBHOOK_NAME);
    let host = reader.read(&t::WEBHOOK_HOST);
    let certificates = reader.read(&t::CERTIFICATES);
    let secret_name = reader.read(&t::CERTIFICATE_SECRET);
    let certificate_ca_file = reader.read(&t::CERTIFICATE_CA_FILE);
    let certificate_lease_name = reader.read(&t::CERTIFICATE_LEASE_NAME);
    let addresses = reader.read(&t::WEBHOOK_ADDR);
    let (certificates, certificate_ca_file) = (certificates?, certificate_ca_file?);
    if certificate_ca_file.is_some() && certificates != CertificateSource::ExistingSecret {
        return Err(reader.add_error(
            &t::CERTIFICATE_CA_FILE,
            "must be unset unless CERTIFICATES is existingSecret",
        ));
    }
    let namespace = namespace.unwrap_or_default();
    Ok(WebhookSettings {
        configuration_name: configuration_name?,
        host: host?.unwrap_or_else(|| format!("tracebuffer-webhook.{namespace}.svc")),
        certificates,
        secret_name: secret_name?,
        certificate_lease_name: certificate_lease_name?,
        certificate_ca_file,
        addresses: addresses?,
    })
}

#[cfg(test)]
mod tests;
