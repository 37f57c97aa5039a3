//! Checks expiry and trust of the webhook's certificates.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::adapters::kubernetes::diagnosis::certificate::{self, Certificate};
use crate::adapters::kubernetes::diagnosis::check_input::CheckInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};

const SECTION: Section = Section("Certificates");
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// A certificate with less time left should have been renewed already.
const MIN_REMAINING_SECONDS: i64 = 7 * DAY_SECONDS;
const RENEWAL_REMEDY: &str =
    "see the logs of the operator, or of cert-manager if it maintains the certificate";

pub(super) fn check(input: &CheckInput) -> Vec<Finding> {
    let bundle = ca_bundle(input);
    let mut findings = Vec::new();
    if let Some(bundle) = &bundle {
        findings.push(check_expiry("caBundle", bundle, input.now));
    }
    match input.certificate_secret.or_finding(SECTION, "secret") {
        Ok(Some(secret)) => findings.extend(check_secret(secret, bundle, input.now)),
        Ok(None) => {
            findings.push(SECTION.skipped("secret", "the Secret of the certificate was not found"));
        }
        Err(finding) => findings.push(finding),
    }
    findings
}

fn ca_bundle(input: &CheckInput) -> Option<Result<Vec<Certificate>, String>> {
    let mut entries = input.operator.webhook_configuration.get()?.webhooks.iter().flatten();
    let bundle = entries.find_map(|entry| entry.client_config.ca_bundle.as_ref())?;
    Some(certificate::parse_pem(&bundle.0))
}

fn check_secret(
    secret: &Secret,
    bundle: Option<Result<Vec<Certificate>, String>>,
    now: i64,
) -> Vec<Finding> {
    let read = |key: &str| Some(certificate::parse_pem(&secret.data.as_ref()?.get(key)?.0));
    let name = secret.name_any();
    let mut findings = Vec::new();
    let serving = read("tls.crt");
    match &serving {
        Some(serving) => findings.push(check_expiry("served", serving, now)),
        None => {
            findings.push(SECTION.failed(
                "served",
                format!("Secret {name} has no tls.crt"),
                RENEWAL_REMEDY,
            ));
        }
    }
    if let (Some(Ok(bundle)), Some(Ok(serving))) = (bundle, &serving) {
        findings.push(check_trust(&name, &bundle, serving));
    }
    findings
}

/// Checks when the last certificate expires; a bundle may contain expired ones.
fn check_expiry(name: &str, certificates: &Result<Vec<Certificate>, String>, now: i64) -> Finding {
    let expiry = match certificates {
        Ok(certificates) => certificate::latest_expiry(certificates),
        Err(why) => return SECTION.failed(name, format!("cannot be read: {why}"), RENEWAL_REMEDY),
    };
    let left = expiry - now;
    let days = left / DAY_SECONDS;
    if left <= 0 {
        return SECTION.failed(name, "has expired, so no pod gets a sidecar", RENEWAL_REMEDY);
    }
    if left < MIN_REMAINING_SECONDS {
        let left = if days == 0 { format!("{} h", left / 3_600) } else { format!("{days} days") };
        return SECTION.warning(
            name,
            format!("expires in {left} and has not been renewed"),
            RENEWAL_REMEDY,
        );
    }
    SECTION.ok(name, format!("valid for {days} more days"))
}

/// Checks whether the API server trusts the certificate in the Secret by the caBundle.
fn check_trust(secret: &str, bundle: &[Certificate], serving: &[Certificate]) -> Finding {
    const NAME: &str = "trust";
    if certificate::is_trusted(serving, bundle) {
        return SECTION.ok(NAME, format!("the caBundle trusts the certificate in Secret {secret}"));
    }
    let message = format!(
        "the caBundle does not trust the certificate in Secret {secret}, so no pod gets a sidecar"
    );
    SECTION.failed(NAME, message, RENEWAL_REMEDY)
}
