//! `spec.allowedNamespaces`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector as Written, LabelSelectorRequirement,
};

use super::notes::{Notes, shown};
use crate::adapters::kubernetes::resource::{AllowedNamespaces as Spec, FromNamespaces};
use crate::domain::injection::consent::{AllowedNamespaces, LabelSelector, Operator, Requirement};
use crate::domain::labels::{is_label_key, is_label_value};

const SELECTOR: &str = "allowedNamespaces.selector";

/// Reads which namespaces are allowed.
pub(super) fn check(notes: &mut Notes, spec: &Spec) -> Option<AllowedNamespaces> {
    match (spec.from, &spec.selector) {
        (FromNamespaces::Same, None) => Some(AllowedNamespaces::Same),
        (FromNamespaces::All, None) => Some(AllowedNamespaces::All),
        (FromNamespaces::Selector, Some(written)) => {
            selector(notes, written).map(AllowedNamespaces::Selector)
        }
        (FromNamespaces::Selector, None) => {
            notes.note(SELECTOR, "must be set with from: Selector");
            None
        }
        (FromNamespaces::Same | FromNamespaces::All, Some(_)) => {
            notes.note(SELECTOR, "must be unset, or from be Selector");
            None
        }
    }
}

fn selector(notes: &mut Notes, written: &Written) -> Option<LabelSelector> {
    let labels = written.match_labels.iter().flatten();
    let expressions = written.match_expressions.iter().flatten();
    let labels = labels.map(|(key, value)| label(notes, key, value)).collect::<Vec<_>>();
    let expressions = expressions.enumerate().map(|(index, one)| expression(notes, index, one));
    let requirements: Vec<_> = labels.into_iter().chain(expressions).collect();
    if requirements.is_empty() {
        let why = "must have at least one label or expression; from: All allows every namespace";
        notes.note(SELECTOR, why);
        return None;
    }
    let requirements = requirements.into_iter().collect::<Option<_>>()?;
    Some(LabelSelector { requirements })
}

fn label(notes: &mut Notes, key: &str, value: &str) -> Option<Requirement> {
    let field = format!("{SELECTOR}.matchLabels");
    let key = label_key(notes, &field, key);
    let value = label_value(notes, &field, value);
    Some(Requirement { key: key?, operator: Operator::In(vec![value?]) })
}

fn expression(
    notes: &mut Notes,
    index: usize,
    written: &LabelSelectorRequirement,
) -> Option<Requirement> {
    let field = format!("{SELECTOR}.matchExpressions[{index}]");
    let key = label_key(notes, &format!("{field}.key"), &written.key);
    let at = format!("{field}.values");
    let values = written.values.iter().flatten();
    let values = values.map(|value| label_value(notes, &at, value)).collect::<Vec<_>>();
    let values = values.into_iter().collect::<Option<Vec<_>>>();
    let operator = operator(notes, &field, &written.operator, &values?);
    Some(Requirement { key: key?, operator: operator? })
}

fn operator(notes: &mut Notes, field: &str, operator: &str, values: &[String]) -> Option<Operator> {
    let (found, needs_values) = match operator {
        "In" => (Operator::In(values.to_vec()), true),
        "NotIn" => (Operator::NotIn(values.to_vec()), true),
        "Exists" => (Operator::Exists, false),
        "DoesNotExist" => (Operator::DoesNotExist, false),
        other => {
            let found = shown(other);
            notes.note(
                &format!("{field}.operator"),
                format!("must be In, NotIn, Exists or DoesNotExist; it is {found}"),
            );
            return None;
        }
    };
    if needs_values == values.is_empty() {
        let must = if needs_values { "not be empty" } else { "be empty" };
        notes.note(&format!("{field}.values"), format!("must {must} with operator {operator}"));
        return None;
    }
    Some(found)
}

fn label_key(notes: &mut Notes, field: &str, key: &str) -> Option<String> {
    if is_label_key(key) {
        return Some(key.to_owned());
    }
    let found = shown(key);
    notes.note(
        field,
        format!("must have keys of labels, such as team or example.com/team; {found} is none"),
    );
    None
}

fn label_value(notes: &mut Notes, field: &str, value: &str) -> Option<String> {
    if is_label_value(value) {
        return Some(value.to_owned());
    }
    let found = shown(value);
    let allowed = "at most 63 letters, digits, '-', '_' and '.'";
    notes.note(field, format!("must have values of labels: {allowed}; {found} is none"));
    None
}
