//! How long the webhook's certificates hold, and whether they belong together.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::adapters::kubernetes::diagnosis::certificate::{self, Certificate};
use crate::adapters::kubernetes::diagnosis::check_input::CheckInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};

const SECTION: Section = Section("Certificates");
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// With less than this left, renewal should have happened long ago.
const MIN_REMAINING_SECONDS: i64 = 7 * DAY_SECONDS;
const RENEWAL_REMEDY: &str =
    "see the operators' logs, or those of whatever else keeps the certificate";

pub(super) fn check(facts: &CheckInput) -> Vec<Finding> {
    let bundle = ca_bundle(facts);
    let mut findings = Vec::new();
    if let Some(bundle) = &bundle {
        findings.push(check_expiry("caBundle", bundle, facts.now));
    }
    match facts.certificate_secret.or_finding(SECTION, "secret") {
        Ok(Some(secret)) => findings.extend(check_secret(secret, bundle, facts.now)),
        Ok(None) => {
            findings.push(SECTION.skipped("secret", "the Secret of the certificate was not found"));
        }
        Err(finding) => findings.push(finding),
    }
    findings
}

fn ca_bundle(facts: &CheckInput) -> Option<Result<Vec<Certificate>, String>> {
    let mut entries = facts.operator.webhook_configuration.get()?.webhooks.iter().flatten();
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
    let served = read("tls.crt");
    match &served {
        Some(served) => findings.push(check_expiry("served", served, now)),
        None => {
            findings.push(SECTION.failed(
                "served",
                format!("Secret {name} has no tls.crt"),
                RENEWAL_REMEDY,
            ));
        }
    }
    if let (Some(Ok(bundle)), Some(Ok(served))) = (bundle, &served) {
        findings.push(check_trust(&name, &bundle, served));
    }
    findings
}

/// Whether the last of the certificates to end leaves time: a bundle may hold an old one.
fn check_expiry(name: &str, certificates: &Result<Vec<Certificate>, String>, now: i64) -> Finding {
    let ends = match certificates {
        Ok(certificates) => certificate::latest_expiry(certificates),
        Err(why) => return SECTION.failed(name, format!("cannot be read: {why}"), RENEWAL_REMEDY),
    };
    let left = ends - now;
    let days = left / DAY_SECONDS;
    if left <= 0 {
        return SECTION.failed(name, "has expired: no pod gets a sidecar", RENEWAL_REMEDY);
    }
    if left < MIN_REMAINING_SECONDS {
        let left = if days == 0 { format!("{} h", left / 3_600) } else { format!("{days} days") };
        return SECTION.warning(
            name,
            format!("expires in {left} and was not renewed"),
            RENEWAL_REMEDY,
        );
    }
    SECTION.ok(name, format!("holds for {days} days"))
}

/// Whether the API server, which trusts the caBundle, trusts what the Secret holds.
fn check_trust(secret: &str, bundle: &[Certificate], served: &[Certificate]) -> Finding {
    const NAME: &str = "trust";
    if certificate::is_trusted(served, bundle) {
        return SECTION.ok(NAME, format!("the caBundle trusts the certificate in Secret {secret}"));
    }
    let message = format!(
        "the caBundle does not trust the certificate in Secret {secret}: no pod gets a sidecar"
    );
    SECTION.failed(NAME, message, RENEWAL_REMEDY)
}
