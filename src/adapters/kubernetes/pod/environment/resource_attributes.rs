//! Tells a container's SDK where it runs, as resource attributes with the names of Kubernetes.

use serde_json::{Value, json};

use crate::adapters::kubernetes::pod::pod_json::{label, list, name, text};

const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
/// Attributes whose values only the kubelet knows: the attribute, the variable that holds it, and the field
/// of the pod. The variables are those of the OpenTelemetry operator.
const FIELDS: [(&str, &str, &str); 4] = [
    ("k8s.namespace.name", "OTEL_RESOURCE_ATTRIBUTES_NAMESPACE_NAME", "metadata.namespace"),
    ("k8s.pod.name", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME", "metadata.name"),
    ("k8s.pod.uid", "OTEL_RESOURCE_ATTRIBUTES_POD_UID", "metadata.uid"),
    ("k8s.node.name", "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME", "spec.nodeName"),
];
/// The label by which a Deployment distinguishes its `ReplicaSet`s, whose names end with it.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// Returns the variables for a container, in an order in which each is defined before it is referred to;
/// none if the container sets its resource attributes itself, or may.
pub(super) fn variables(pod: &Value, container: &Value) -> Vec<Value> {
    let env = list(container, "/env");
    let sets = |variable: &str| env.iter().any(|each| name(each) == variable);
    if sets(RESOURCE_ATTRIBUTES) || !list(container, "/envFrom").is_empty() {
        return vec![];
    }
    let fields = FIELDS.iter().filter(|(_, variable, _)| !sets(variable));
    let mut variables: Vec<_> = fields
        .map(|(_, variable, path)| {
            json!({"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}})
        })
        .collect();
    let known = [("k8s.container.name", name(container))].into_iter().chain(workload(pod));
    let attributes: Vec<_> = FIELDS
        .iter()
        .map(|(attribute, variable, _)| format!("{attribute}=$({variable})"))
        .chain(known.map(|(attribute, value)| format!("{attribute}={value}")))
        .collect();
    variables.push(json!({"name": RESOURCE_ATTRIBUTES, "value": attributes.join(",")}));
    variables
}

/// Returns the attribute for the workload that the pod belongs to, if its controller tells it. Names of
/// objects have no characters that would have to be encoded.
fn workload(pod: &Value) -> Option<(&'static str, &str)> {
    let owners = list(pod, "/metadata/ownerReferences").iter();
    let controller = owners.into_iter().find(|owner| owner["controller"] == true)?;
    let owner = name(controller);
    match (text(controller, "/apiVersion")?, text(controller, "/kind")?) {
        ("apps/v1", "ReplicaSet") => {
            let deployment = owner.strip_suffix(label(pod, POD_TEMPLATE_HASH)?)?;
            Some(("k8s.deployment.name", deployment.strip_suffix('-')?))
        }
        ("apps/v1", "StatefulSet") => Some(("k8s.statefulset.name", owner)),
        ("apps/v1", "DaemonSet") => Some(("k8s.daemonset.name", owner)),
        ("batch/v1", "Job") => Some(("k8s.job.name", owner)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(api_version: &str, kind: &str, owner: &str) -> Value {
        json!({"metadata": {
            "labels": {POD_TEMPLATE_HASH: "6d4cf56db6"},
            "ownerReferences": [
                {"apiVersion": "example.com/v1", "kind": "Tenant", "name": "other"},
                {"apiVersion": api_version, "kind": kind, "name": owner, "controller": true},
            ],
        }})
    }

    #[test]
    fn the_names_of_kubernetes_are_set_after_the_variables_that_they_refer_to() {
        let pod = owned("apps/v1", "ReplicaSet", "web-6d4cf56db6");

        let all = variables(&pod, &json!({"name": "app", "env": [{"name": "A", "value": "1"}]}));

        let names: Vec<_> = all.iter().map(name).collect();
        assert_eq!(
            names,
            [
                "OTEL_RESOURCE_ATTRIBUTES_NAMESPACE_NAME",
                "OTEL_RESOURCE_ATTRIBUTES_POD_NAME",
                "OTEL_RESOURCE_ATTRIBUTES_POD_UID",
                "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME",
                "OTEL_RESOURCE_ATTRIBUTES",
            ]
        );
        assert_eq!(all[2]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.uid");
        assert_eq!(
            all[4]["value"],
            "k8s.namespace.name=$(OTEL_RESOURCE_ATTRIBUTES_NAMESPACE_NAME),\
             k8s.pod.name=$(OTEL_RESOURCE_ATTRIBUTES_POD_NAME),\
             k8s.pod.uid=$(OTEL_RESOURCE_ATTRIBUTES_POD_UID),\
             k8s.node.name=$(OTEL_RESOURCE_ATTRIBUTES_NODE_NAME),\
             k8s.container.name=app,k8s.deployment.name=web"
        );
    }

    #[test]
    fn a_container_that_sets_its_attributes_or_may_is_left_alone() {
        for container in [
            json!({"env": [{"name": RESOURCE_ATTRIBUTES, "value": "team=a"}]}),
            json!({"env": [{"name": RESOURCE_ATTRIBUTES, "valueFrom": {}}]}),
            json!({"envFrom": [{"configMapRef": {"name": "settings"}}]}),
        ] {
            assert!(variables(&json!({}), &container).is_empty(), "{container}");
        }
    }

    #[test]
    fn a_variable_that_exists_is_not_added_again() {
        let pod_name = json!({"name": "OTEL_RESOURCE_ATTRIBUTES_POD_NAME", "value": "mine"});

        let all = variables(&json!({}), &json!({"name": "app", "env": [pod_name]}));

        assert_eq!(all.len(), FIELDS.len());
        assert!(all.iter().all(|variable| name(variable) != "OTEL_RESOURCE_ATTRIBUTES_POD_NAME"));
    }

    #[test]
    fn the_workload_is_named_where_its_controller_tells_it() {
        for (api_version, kind, owner, expected) in [
            ("apps/v1", "ReplicaSet", "web-6d4cf56db6", Some(("k8s.deployment.name", "web"))),
            ("apps/v1", "ReplicaSet", "own", None),
            ("apps/v1", "StatefulSet", "db", Some(("k8s.statefulset.name", "db"))),
            ("apps/v1", "DaemonSet", "log", Some(("k8s.daemonset.name", "log"))),
            ("batch/v1", "Job", "import", Some(("k8s.job.name", "import"))),
            ("argoproj.io/v1", "Rollout", "x", None),
        ] {
            assert_eq!(workload(&owned(api_version, kind, owner)), expected, "{kind} {owner}");
        }
        assert_eq!(workload(&json!({})), None);
    }
}
