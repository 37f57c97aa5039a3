//! Reads JSON that may have any form.

use serde_json::Value;

/// The list of containers other than init containers.
pub(super) const CONTAINERS: &str = "containers";
/// The list of init containers.
pub(super) const INIT_CONTAINERS: &str = "initContainers";

/// The grace period of a pod that sets none.
const DEFAULT_GRACE_PERIOD_SECONDS: u64 = 30;

/// Returns the array at `pointer`; empty if absent.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns the time, in seconds, after which the kubelet kills the containers of a pod that terminates.
pub(super) fn grace_period_seconds(pod: &Value) -> u64 {
    let set = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    set.unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS)
}

/// Returns the string at `pointer`.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// Returns whether the value at `pointer` is `true`.
pub(super) fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// Returns the `name` of a container, a volume or another object; empty if absent.
pub(super) fn name(value: &Value) -> &str {
    text(value, "/name").unwrap_or_default()
}

/// Returns each container of the pod with the name of its list and its index there.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    [CONTAINERS, INIT_CONTAINERS].into_iter().flat_map(move |kind| {
        let all = list(pod, &format!("/spec/{kind}")).iter().enumerate();
        all.map(move |(index, container)| (kind, index, container))
    })
}

/// Returns whether an init container is a native sidecar, which runs as long as the pod.
pub(super) fn is_native_sidecar(container: &Value) -> bool {
    text(container, "/restartPolicy") == Some("Always")
}

/// Returns the value of an annotation of the pod.
pub(super) fn annotation<'a>(pod: &'a Value, key: &str) -> Option<&'a str> {
    pod.pointer("/metadata/annotations")?.get(key)?.as_str()
}

/// Returns the value of a label of the pod.
pub(super) fn label<'a>(pod: &'a Value, key: &str) -> Option<&'a str> {
    pod.pointer("/metadata/labels")?.get(key)?.as_str()
}
