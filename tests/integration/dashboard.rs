//! The chart's dashboard. That its metrics are served is a scenario of `tests/cluster`.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// The labels by which Prometheus tells targets apart: a metric of ours with all of them is of the same process.
const SAME_TARGET: &str = "and on (namespace, pod, container, job, instance) tracebuffer_";

/// Returns the title of each panel with one of its queries.
fn queries() -> Vec<(String, String)> {
    let file = "charts/tracebuffer/dashboards/tracebuffer.json";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut queries = vec![];
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    queries
}

/// Applications serve metrics with these names too, often from the same pod.
#[test]
fn metrics_of_a_process_are_only_those_of_a_sidecar() {
    let queries = queries();
    let of_processes: Vec<_> =
        queries.iter().filter(|(_, query)| query.contains("process_")).collect();

    assert!(!of_processes.is_empty(), "{queries:?}");
    for (panel, query) in of_processes {
        assert!(query.contains(SAME_TARGET), "{panel}: {query}");
    }
}
