//! Whether the operator runs, and which version of it.

use kube::ResourceExt;

use super::VERSION;
use crate::adapters::kubernetes::diagnosis::check_input::CheckInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};

const SECTION: Section = Section("Operator");
const VERSION_LABEL: &str = "app.kubernetes.io/version";

pub(super) fn check(facts: &CheckInput) -> Vec<Finding> {
    const NAME: &str = "pods";
    let deployment = match facts.operator.deployment.or_finding(SECTION, NAME) {
        Ok(Some(deployment)) => deployment,
        Ok(None) => {
            let message = "the operator's Deployment was not found";
            return vec![SECTION.failed(NAME, message, "install the chart: `helm install`")];
        }
        Err(finding) => return vec![finding],
    };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = facts.operator.ready_replicas();
    let (namespace, name) = (&facts.operator.namespace, deployment.name_any());
    let message = format!("{ready} of {wanted} pods of Deployment {namespace}/{name} are ready");
    let look = format!("kubectl -n {namespace} describe deployment {name}");
    let pods = match ready {
        0 => SECTION.failed(NAME, message, format!("see why: `{look}`")),
        _ if ready < wanted => SECTION.warning(NAME, message, format!("see why: `{look}`")),
        _ => SECTION.ok(NAME, message),
    };
    vec![pods, version(deployment.labels().get(VERSION_LABEL).map(String::as_str))]
}

fn version(labelled: Option<&str>) -> Finding {
    const NAME: &str = "version";
    match labelled {
        Some(VERSION) => SECTION.ok(NAME, format!("{VERSION}, like this binary")),
        Some(other) => SECTION.warning(
            NAME,
            format!("the operator is of version {other}, this binary of {VERSION}"),
            "use the binary of the operator's version, or upgrade the chart",
        ),
        None => SECTION.skipped(NAME, format!("the Deployment has no label {VERSION_LABEL}")),
    }
}
