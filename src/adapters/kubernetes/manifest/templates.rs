//! Finds pods and pod templates in objects.

use serde_json::Value;

use crate::adapters::kubernetes::names::INJECT_KEY;
use crate::domain::operator::injection::request::OPT_OUT_VALUES;

/// API group and kind of pods and of workloads, and the JSON pointer of the pod or its template. `*` stands for
/// each item of a list.
const POD_KINDS: [(&str, &str, &str); 15] = [
    ("", "Pod", ""),
    ("", "PodTemplate", "/template"),
    ("", "ReplicationController", "/spec/template"),
    ("apps", "DaemonSet", "/spec/template"),
    ("apps", "Deployment", "/spec/template"),
    ("apps", "ReplicaSet", "/spec/template"),
    ("apps", "StatefulSet", "/spec/template"),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template"),
    ("batch", "Job", "/spec/template"),
    ("apps.kruise.io", "CloneSet", "/spec/template"),
    ("apps.kruise.io", "DaemonSet", "/spec/template"),
    ("apps.kruise.io", "StatefulSet", "/spec/template"),
    ("apps.openshift.io", "DeploymentConfig", "/spec/template"),
    ("argoproj.io", "Rollout", "/spec/template"),
    ("jobset.x-k8s.io", "JobSet", "/spec/replicatedJobs/*/template/spec/template"),
];

/// A pod or a pod template in an object.
pub(super) struct PodTemplate {
    /// The JSON pointer of the pod or template in the document.
    pub(super) pointer: String,
    /// The kind and the name of the object, such as `Deployment web`.
    pub(super) object_name: String,
    /// The namespace of the object, if it is set.
    pub(super) namespace: Option<String>,
    /// The JSON pointer of the object in the document.
    pub(super) object_pointer: String,
}

/// What a document contains.
#[derive(Default)]
pub(super) struct FoundTemplates {
    /// The pods and pod templates.
    pub(super) known: Vec<PodTemplate>,
    /// The kind and the name of each object of another kind in which something asks for a sidecar.
    pub(super) unknown: Vec<String>,
}

/// Returns what `document` contains, which is an object or a list of objects.
pub(super) fn pod_templates(document: &Value) -> FoundTemplates {
    let mut found = FoundTemplates::default();
    collect(document, "", ("", ""), &mut found);
    found
}

/// `of_list` is the API version and kind of the items of the list around the object, which they may omit.
fn collect(object: &Value, pointer: &str, of_list: (&str, &str), found: &mut FoundTemplates) {
    let text = |key: &str, default| object.get(key).and_then(Value::as_str).unwrap_or(default);
    let (version, kind) = (text("apiVersion", of_list.0), text("kind", of_list.1));
    let items = object.get("items").and_then(Value::as_array);
    if let Some((of_items, items)) = kind.strip_suffix("List").zip(items) {
        for (index, item) in items.iter().enumerate() {
            collect(item, &format!("{pointer}/items/{index}"), (version, of_items), found);
        }
        return;
    }
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let metadata = |key: &str| object.pointer(&format!("/metadata/{key}")).and_then(Value::as_str);
    let name = metadata("name").or_else(|| metadata("generateName")).unwrap_or("(without name)");
    let object_name = format!("{kind} {name}");
    let known = POD_KINDS.iter().find(|(of, name, _)| *of == group && *name == kind);
    let Some((_, _, path)) = known else {
        let asks = object.as_object().is_some_and(|members| members.values().any(asks_inside));
        found.unknown.extend(asks.then_some(object_name));
        return;
    };
    for path in expand(object, path) {
        found.known.push(PodTemplate {
            pointer: format!("{pointer}{path}"),
            object_name: object_name.clone(),
            namespace: metadata("namespace").map(str::to_owned),
            object_pointer: pointer.to_owned(),
        });
    }
}

/// Replaces `*` in a path by each index of the list there.
fn expand(object: &Value, path: &str) -> Vec<String> {
    let Some((list, rest)) = path.split_once("/*") else { return vec![path.to_owned()] };
    let items = object.pointer(list).and_then(Value::as_array).map_or(0, Vec::len);
    (0..items).map(|index| format!("{list}/{index}{rest}")).collect()
}

/// Returns whether an object within `value` has the annotation that asks for a sidecar.
fn asks_inside(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            let annotation = members
                .get("metadata")
                .and_then(|metadata| metadata.get("annotations")?.get(INJECT_KEY)?.as_str());
            annotation.is_some_and(|value| !OPT_OUT_VALUES.contains(&value))
                || members.values().any(asks_inside)
        }
        Value::Array(items) => items.iter().any(asks_inside),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(document: &Value) -> Vec<String> {
        pod_templates(document).known.into_iter().map(|template| template.pointer).collect()
    }

    #[test]
    fn every_kind_with_a_pod_template_is_known_with_its_path() {
        for (version, kind, pointer) in [
            ("v1", "Pod", ""),
            ("v1", "PodTemplate", "/template"),
            ("argoproj.io/v1alpha1", "Rollout", "/spec/template"),
            ("apps.kruise.io/v1alpha1", "CloneSet", "/spec/template"),
            ("apps.openshift.io/v1", "DeploymentConfig", "/spec/template"),
            ("v1", "ReplicationController", "/spec/template"),
            ("apps/v1", "Deployment", "/spec/template"),
            ("apps/v1", "StatefulSet", "/spec/template"),
            ("apps/v1", "DaemonSet", "/spec/template"),
            ("apps/v1", "ReplicaSet", "/spec/template"),
            ("batch/v1", "Job", "/spec/template"),
            ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template"),
        ] {
            assert_eq!(
                pointers(&json!({"apiVersion": version, "kind": kind})),
                [pointer],
                "{kind}"
            );
        }
    }

    #[test]
    fn kinds_of_the_same_name_in_other_groups_are_ignored() {
        for (version, kind) in [
            ("v1", "Service"),
            ("batch.volcano.sh/v1alpha1", "Job"),
            ("v1", "Deployment"),
            ("apps/v1", "Pod"),
        ] {
            assert!(pointers(&json!({"apiVersion": version, "kind": kind})).is_empty(), "{kind}");
        }
        assert!(pointers(&json!(["Pod"])).is_empty() && pointers(&Value::Null).is_empty());
    }

    #[test]
    fn lists_are_searched() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "shop"}});
        let inner = json!({"apiVersion": "v1", "kind": "PodList", "items": [pod]});
        let list =
            json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Service"}, inner, pod]});
        let found = pod_templates(&list).known;
        let shown: Vec<_> =
            found.iter().map(|t| (t.pointer.as_str(), t.object_name.as_str())).collect();
        assert_eq!(shown, [("/items/1/items/0", "Pod a"), ("/items/2", "Pod a")]);
        assert_eq!(found[0].namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn items_of_a_typed_list_may_omit_their_kind() {
        let item = json!({"metadata": {"name": "web"}});
        let list = json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [item]});

        assert_eq!(pointers(&list), ["/items/0/spec/template"]);
    }

    #[test]
    fn a_kind_with_several_templates_has_each_of_them() {
        let job = json!({"template": {"spec": {"template": {}}}});
        let set = json!({
            "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
            "spec": {"replicatedJobs": [job, job]},
        });

        assert_eq!(
            pointers(&set),
            [
                "/spec/replicatedJobs/0/template/spec/template",
                "/spec/replicatedJobs/1/template/spec/template",
            ]
        );
    }

    #[test]
    fn an_unknown_kind_in_which_something_asks_is_named() {
        let template = |value: &str| json!({"metadata": {"annotations": {INJECT_KEY: value}}});
        let object = |template: Value| {
            json!({
                "apiVersion": "serving.knative.dev/v1", "kind": "Service",
                "metadata": {"name": "web", "annotations": {INJECT_KEY: "true"}},
                "spec": {"parts": [{"template": template}]},
            })
        };
        for (template, expected) in [
            (template("true"), vec!["Service web"]),
            (template("shop/web"), vec!["Service web"]),
            (template("false"), vec![]),
            (json!({}), vec![]),
        ] {
            assert_eq!(pod_templates(&object(template)).unknown, expected);
        }
    }
}
