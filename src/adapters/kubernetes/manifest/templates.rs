//! Finds pods and pod templates in objects.

use serde_json::Value;

/// API group and kind of pods and of workloads, and the JSON pointer of the pod or its template.
const POD_KINDS: [(&str, &str, &str); 8] = [
    ("", "Pod", ""),
    ("", "ReplicationController", "/spec/template"),
    ("apps", "DaemonSet", "/spec/template"),
    ("apps", "Deployment", "/spec/template"),
    ("apps", "ReplicaSet", "/spec/template"),
    ("apps", "StatefulSet", "/spec/template"),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template"),
    ("batch", "Job", "/spec/template"),
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

/// Returns the pods and pod templates of `document`, which is an object or a list of objects.
pub(super) fn pod_templates(document: &Value) -> Vec<PodTemplate> {
    let mut found = vec![];
    collect(document, String::new(), &mut found);
    found
}

fn collect(object: &Value, pointer: String, found: &mut Vec<PodTemplate>) {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if let Some(items) =
        object.get("items").and_then(Value::as_array).filter(|_| kind.ends_with("List"))
    {
        for (index, item) in items.iter().enumerate() {
            collect(item, format!("{pointer}/items/{index}"), found);
        }
        return;
    }
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let known = POD_KINDS.iter().find(|(of, name, _)| *of == group && *name == kind);
    let Some((_, _, path)) = known else { return };
    let metadata = |key: &str| object.pointer(&format!("/metadata/{key}")).and_then(Value::as_str);
    let name = metadata("name").or_else(|| metadata("generateName")).unwrap_or("(without name)");
    found.push(PodTemplate {
        pointer: format!("{pointer}{path}"),
        object_name: format!("{kind} {name}"),
        namespace: metadata("namespace").map(str::to_owned),
        object_pointer: pointer,
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(document: &Value) -> Vec<String> {
        pod_templates(document).into_iter().map(|template| template.pointer).collect()
    }

    #[test]
    fn every_kind_with_a_pod_template_is_known_with_its_path() {
        for (version, kind, pointer) in [
            ("v1", "Pod", ""),
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
        let found = pod_templates(&list);
        let shown: Vec<_> =
            found.iter().map(|t| (t.pointer.as_str(), t.object_name.as_str())).collect();
        assert_eq!(shown, [("/items/1/items/0", "Pod a"), ("/items/2", "Pod a")]);
        assert_eq!(found[0].namespace.as_deref(), Some("shop"));
    }
}
