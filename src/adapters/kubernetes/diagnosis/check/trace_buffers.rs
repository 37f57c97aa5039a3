//! Checks whether every `TraceBuffer` is accepted and ready.

use kube::ResourceExt;

use crate::adapters::kubernetes::diagnosis::check_input::CheckInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section, join_names};
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::domain::text::pluralize;

const SECTION: Section = Section("TraceBuffers");

pub(super) fn check(input: &CheckInput) -> Vec<Finding> {
    let all = match input.trace_buffers.or_finding(SECTION, "all") {
        Ok(all) => all.map_or(&[][..], Vec::as_slice),
        Err(finding) => return vec![finding],
    };
    let problems: Vec<_> = all.iter().filter_map(problem).collect();
    if !problems.is_empty() {
        return problems;
    }
    let message = match all.len() {
        0 => "no TraceBuffer exists yet".to_owned(),
        count => format!("{} accepted and ready", pluralize(count, "TraceBuffer")),
    };
    vec![SECTION.ok("all", message)]
}

/// Returns what is wrong with a `TraceBuffer`, if anything.
fn problem(object: &TraceBuffer) -> Option<Finding> {
    let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let status = object.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation);
    if observed.is_none() || observed < object.metadata.generation {
        let message = "the operator has not processed the last change of its spec";
        return Some(SECTION.warning(name, message, "check whether the operator's pods are ready"));
    }
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let failed: Vec<_> =
        conditions.iter().filter(|condition| condition.status == "False").collect();
    let messages: Vec<_> =
        failed.iter().map(|one| format!("{}=False: {}", one.type_, one.message)).collect();
    if failed.iter().any(|condition| condition.type_ == "Accepted") {
        let remedy = "correct the fields listed; `tracebuffer analyze -f` checks a file";
        return Some(SECTION.failed(name, join_names(&messages), remedy));
    }
    if !failed.is_empty() {
        let remedy = format!("see `kubectl describe tracebuffer {}`", object.name_any());
        return Some(SECTION.warning(name, join_names(&messages), remedy));
    }
    None
}
