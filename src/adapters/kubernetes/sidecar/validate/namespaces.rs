//! `spec.allowedNamespaces`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector as Written, LabelSelectorRequirement,
};

use super::validator::Validator;
use crate::adapters::kubernetes::resource::{AllowedNamespacesSpec as Spec, FromNamespaces};
use crate::domain::operator::injection::consent::{
    AllowedNamespaces, LabelOperator, LabelRequirement, LabelSelector,
};
use crate::domain::operator::labels::{is_label_key, is_label_value};
use crate::domain::text::quoted;

const SELECTOR: &str = "allowedNamespaces.selector";

/// Validates the allowed namespaces.
pub(super) fn validate(validator: &mut Validator, spec: &Spec) -> Option<AllowedNamespaces> {
    match (spec.from, &spec.selector) {
        (FromNamespaces::Same, None) => Some(AllowedNamespaces::Same),
        (FromNamespaces::All, None) => Some(AllowedNamespaces::All),
        (FromNamespaces::Selector, Some(written)) => {
            selector(validator, written).map(AllowedNamespaces::Selector)
        }
        (FromNamespaces::Selector, None) => {
            validator.add_spec_error(SELECTOR, "must be set with from: Selector");
            None
        }
        (FromNamespaces::Same | FromNamespaces::All, Some(_)) => {
            validator.add_spec_error(SELECTOR, "must be unset, or from be Selector");
            None
        }
    }
}

fn selector(validator: &mut Validator, written: &Written) -> Option<LabelSelector> {
    let labels = written.match_labels.iter().flatten();
    let expressions = written.match_expressions.iter().flatten();
    let labels = labels.map(|(key, value)| label(validator, key, value)).collect::<Vec<_>>();
    let expressions = expressions.enumerate().map(|(index, one)| expression(validator, index, one));
    let requirements: Vec<_> = labels.into_iter().chain(expressions).collect();
    if requirements.is_empty() {
        let why = "must have at least one label or expression; from: All allows every namespace";
        validator.add_spec_error(SELECTOR, why);
        return None;
    }
    let requirements = requirements.into_iter().collect::<Option<_>>()?;
    Some(LabelSelector { requirements })
}

fn label(validator: &mut Validator, key: &str, value: &str) -> Option<LabelRequirement> {
    let field = format!("{SELECTOR}.matchLabels");
    let key = label_key(validator, &field, key);
    let value = label_value(validator, &field, value);
    Some(LabelRequirement { key: key?, operator: LabelOperator::In(vec![value?]) })
}

fn expression(
    validator: &mut Validator,
    index: usize,
    written: &LabelSelectorRequirement,
) -> Option<LabelRequirement> {
    let field = format!("{SELECTOR}.matchExpressions[{index}]");
    let key = label_key(validator, &format!("{field}.key"), &written.key);
    let at = format!("{field}.values");
    let values = written.values.iter().flatten();
    let values = values.map(|value| label_value(validator, &at, value)).collect::<Vec<_>>();
    let values = values.into_iter().collect::<Option<Vec<_>>>();
    let operator = operator(validator, &field, &written.operator, &values?);
    Some(LabelRequirement { key: key?, operator: operator? })
}

fn operator(
    validator: &mut Validator,
    field: &str,
    operator: &str,
    values: &[String],
) -> Option<LabelOperator> {
    let (found, needs_values) = match operator {
        "In" => (LabelOperator::In(values.to_vec()), true),
        "NotIn" => (LabelOperator::NotIn(values.to_vec()), true),
        "Exists" => (LabelOperator::Exists, false),
        "DoesNotExist" => (LabelOperator::DoesNotExist, false),
        other => {
            let found = quoted(other);
            validator.add_spec_error(
                &format!("{field}.operator"),
                format!("must be In, NotIn, Exists or DoesNotExist; it is {found}"),
            );
            return None;
        }
    };
    if needs_values == values.is_empty() {
        let must = if needs_values { "not be empty" } else { "be empty" };
        validator.add_spec_error(
            &format!("{field}.values"),
            format!("must {must} with operator {operator}"),
        );
        return None;
    }
    Some(found)
}

fn label_key(validator: &mut Validator, field: &str, key: &str) -> Option<String> {
    if is_label_key(key) {
        return Some(key.to_owned());
    }
    let found = quoted(key);
    validator.add_spec_error(
        field,
        format!("must have keys of labels, such as team or example.com/team; {found} is none"),
    );
    None
}

fn label_value(validator: &mut Validator, field: &str, value: &str) -> Option<String> {
    if is_label_value(value) {
        return Some(value.to_owned());
    }
    let found = quoted(value);
    let allowed = "at most 63 letters, digits, '-', '_' and '.'";
    validator
        .add_spec_error(field, format!("must have values of labels: {allowed}; {found} is none"));
    None
}
