//! Checks the version of the API server, and the CRD.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::adapters::kubernetes::diagnosis::check_input::CheckInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};
use crate::adapters::kubernetes::resource::{TraceBuffer, crd_json};

const SECTION: Section = Section("Cluster");
/// The CRD's rules compare quantities, and sidecars are native by default.
const MIN_VERSION: (u32, u32) = (1, 29);

pub(super) fn check(input: &CheckInput) -> Vec<Finding> {
    vec![version(input), crd(input)]
}

fn version(input: &CheckInput) -> Finding {
    const NAME: &str = "version";
    let version = match input.version.or_finding(SECTION, NAME) {
        Ok(version) => version,
        Err(finding) => return finding,
    };
    let Some((major, minor, git_version)) = version else {
        return SECTION.skipped(NAME, "the API server does not report its version");
    };
    if (*major, *minor) < MIN_VERSION {
        let message = format!("Kubernetes {git_version} is older than 1.29");
        return SECTION.failed(NAME, message, "upgrade the cluster to 1.29 or later");
    }
    SECTION.ok(NAME, format!("Kubernetes {git_version} is supported"))
}

fn crd(input: &CheckInput) -> Finding {
    let name = TraceBuffer::crd_name();
    let crd = match input.crd.or_finding(SECTION, name) {
        Ok(Some(crd)) => crd,
        Ok(None) => {
            let message = "the CustomResourceDefinition is missing";
            let remedy = "install the chart with crds.enabled=true, or apply the output of \
                          `tracebuffer crd`";
            return SECTION.failed(name, message, remedy);
        }
        Err(finding) => return finding,
    };
    let ours = serde_json::from_value::<CustomResourceDefinition>(crd_json()).ok();
    let Some(version) = ours.as_ref().and_then(|ours| ours.spec.versions.first()) else {
        return SECTION.skipped(name, "this binary has no version of the CRD");
    };
    let Some(theirs) = crd.spec.versions.iter().find(|one| one.name == version.name) else {
        let message = format!("version {} is not defined", version.name);
        return SECTION.failed(name, message, "upgrade the chart");
    };
    if !theirs.served || !is_established(crd) {
        let message = format!("version {} is not served", version.name);
        let remedy = format!("see `kubectl describe crd {name}` for the reason");
        return SECTION.failed(name, message, remedy);
    }
    if theirs.schema != version.schema {
        let message = format!("version {} differs from the CRD of this binary", version.name);
        return SECTION.warning(
            name,
            message,
            "upgrade the chart, or use the binary of the chart's version",
        );
    }
    SECTION.ok(name, format!("version {} is served and matches this binary", version.name))
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|one| one.type_ == "Established" && one.status == "True")
}
