//! Whether every `TraceBuffer` is accepted and ready.

use kube::ResourceExt;

use super::join_names;
use crate::adapters::kubernetes::diagnosis::check_input::CheckInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};
use crate::adapters::kubernetes::resource::TraceBuffer;
use crate::domain::text::pluralize;

const SECTION: Section = Section("TraceBuffers");

pub(super) fn check(facts: &CheckInput) -> Vec<Finding> {
    let all = match facts.trace_buffers.or_finding(SECTION, "all") {
        Ok(all) => all.map_or(&[][..], Vec::as_slice),
        Err(finding) => return vec![finding],
    };
    let wrong: Vec<_> = all.iter().filter_map(problem).collect();
    let fine = all.len() - wrong.len();
    if wrong.is_empty() {
        return vec![match fine {
            0 => SECTION.ok("all", "there is none yet"),
            _ => {
                SECTION.ok("all", format!("{} accepted and ready", pluralize(fine, "TraceBuffer")))
            }
        }];
    }
    wrong
}

/// What is wrong with one.
fn problem(object: &TraceBuffer) -> Option<Finding> {
    let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let status = object.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation);
    if observed.is_none() || observed < object.metadata.generation {
        let message = "the operator has not looked at its last change";
        return Some(SECTION.warning(name, message, "see whether the operator's pods are ready"));
    }
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let wrong: Vec<_> = conditions.iter().filter(|condition| condition.status == "False").collect();
    let said: Vec<_> =
        wrong.iter().map(|one| format!("{}=False: {}", one.type_, one.message)).collect();
    if wrong.iter().any(|condition| condition.type_ == "Accepted") {
        let remedy = "correct the fields that are named; `tracebuffer analyze -f` checks a file";
        return Some(SECTION.failed(name, join_names(&said), remedy));
    }
    if !wrong.is_empty() {
        let remedy = format!("see `kubectl describe tracebuffer {}`", object.name_any());
        return Some(SECTION.warning(name, join_names(&said), remedy));
    }
    None
}
