//! Checks whether the operator runs, and its version.

use kube::ResourceExt;

use crate::adapters::kubernetes::diagnosis::check_input::CheckInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};

const SECTION: Section = Section("Operator");
/// The version of this binary, and of the chart that belongs to it.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const VERSION_LABEL: &str = "app.kubernetes.io/version";

pub(super) fn check(input: &CheckInput) -> Vec<Finding> {
    const NAME: &str = "pods";
    let deployment = match input.operator.deployment.or_finding(SECTION, NAME) {
        Ok(Some(deployment)) => deployment,
        Ok(None) => {
            let message = "the operator's Deployment was not found";
            return vec![SECTION.failed(NAME, message, "install the chart: `helm install`")];
        }
        Err(finding) => return vec![finding],
    };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = input.operator.ready_replicas();
    let (namespace, name) = (&input.operator.namespace, deployment.name_any());
    let message = format!("{ready} of {wanted} pods of Deployment {namespace}/{name} are ready");
    let command = format!("kubectl -n {namespace} describe deployment {name}");
    let pods = match ready {
        0 => SECTION.failed(NAME, message, format!("see `{command}` for the reason")),
        _ if ready < wanted => {
            SECTION.warning(NAME, message, format!("see `{command}` for the reason"))
        }
        _ => SECTION.ok(NAME, message),
    };
    vec![pods, version(deployment.labels().get(VERSION_LABEL).map(String::as_str))]
}

fn version(label: Option<&str>) -> Finding {
    const NAME: &str = "version";
    match label {
        Some(VERSION) => SECTION.ok(NAME, format!("{VERSION}, the version of this binary")),
        Some(other) => SECTION.warning(
            NAME,
            format!("the version of the operator is {other}, that of this binary {VERSION}"),
            "use the binary of the operator's version, or upgrade the chart",
        ),
        None => SECTION.skipped(NAME, format!("the Deployment has no label {VERSION_LABEL}")),
    }
}
