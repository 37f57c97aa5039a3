//! The *restricted* level of the Pod Security Standards.

use std::collections::BTreeSet;

use serde_json::Value;

/// The sources of volumes that the level allows.
const VOLUMES: [&str; 9] = [
    "name",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// The capabilities that may be added.
const MAY_ADD: &str = "NET_BIND_SERVICE";

/// Returns the violations of the level in `pod`, each with the container's name.
pub(crate) fn violations(pod: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let spec = &pod["spec"];
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[field] == true {
            found.insert(field.to_owned());
        }
    }
    for volume in items(&spec["volumes"]) {
        let sources = volume.as_object().into_iter().flat_map(|volume| volume.keys());
        let forbidden = sources.filter(|source| !VOLUMES.contains(&source.as_str()));
        found.extend(forbidden.map(|source| format!("volume {source}")));
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in items(&spec[list]) {
            let name = container["name"].as_str().unwrap_or_default();
            let wrong = of_container(container, &spec["securityContext"]);
            found.extend(wrong.into_iter().map(|what| format!("{name}: {what}")));
        }
    }
    found
}

fn of_container(container: &Value, of_pod: &Value) -> Vec<&'static str> {
    let own = &container["securityContext"];
    let either = |field: &str| if own[field].is_null() { &of_pod[field] } else { &own[field] };
    let capabilities = &own["capabilities"];
    let checks = [
        ("privileged", own["privileged"] != true),
        ("allowPrivilegeEscalation", own["allowPrivilegeEscalation"] == false),
        ("drop", items(&capabilities["drop"]).iter().any(|one| one == "ALL")),
        ("add", items(&capabilities["add"]).iter().all(|one| one == MAY_ADD)),
        ("runAsNonRoot", *either("runAsNonRoot") == true),
        ("runAsUser", *either("runAsUser") != 0),
        (
            "seccompProfile",
            ["RuntimeDefault", "Localhost"]
                .iter()
                .any(|one| either("seccompProfile")["type"] == *one),
        ),
        ("procMount", [Value::Null, "Default".into()].contains(&own["procMount"])),
        (
            "hostPort",
            items(&container["ports"])
                .iter()
                .all(|port| port["hostPort"].as_u64().unwrap_or(0) == 0),
        ),
    ];
    checks.into_iter().filter(|(_, holds)| !holds).map(|(what, _)| what).collect()
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}
